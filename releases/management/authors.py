"""The option of commands that names who wrote what they load."""

from argparse import ArgumentParser
from collections.abc import Sequence

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from environments.language import listed
from environments.models import Account


def add_authors(parser: ArgumentParser) -> None:
    """Add `--author`, which may be repeated."""
    parser.add_argument(
        "--author",
        action="append",
        default=[],
        help="user name of a person who wrote the change, and does not approve it",
    )


def authors(names: Sequence[str]) -> set[int]:
    """Return the keys of the persons' accounts with these user names. Raises CommandError for a name that none has."""
    found = dict(Account.objects.filter(kind="person", username__in=names).values_list("username", "pk"))
    if unknown := sorted(set(names) - found.keys()):
        raise CommandError(_("no person has the user name %(names)s") % {"names": listed(unknown)})
    return set(found.values())
