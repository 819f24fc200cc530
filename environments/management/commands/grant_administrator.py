"""manage.py grant_administrator USERNAME --reason …: give the role and an invitation when no administrator
is left. It needs access to the server, and its events say so.
"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.actor import Actor, acting
from audit.refusals import OperationRefused
from environments.models import Account
from environments.operations.access.grant import request_role
from environments.operations.account.invite import invite


class Command(BaseCommand):
    """Make an account an administrator."""

    help = (
        "Gives the role of administrator to an open account of a person, without a second one, and prints an "
        "invitation."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the account and the reason."""
        parser.add_argument("username")
        parser.add_argument("--reason", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        """Give it."""
        account = Account.objects.filter(username=options["username"]).first()
        if account is None:
            raise CommandError(f"there is no account {options['username']}")
        with acting(Actor(account_id=None, name="grant_administrator", kind="command", channel="command")):
            try:
                grant = request_role(account.pk, role="administrator", reason=options["reason"])
                link = invite(account.pk, reason=options["reason"]).secret  # type: ignore[attr-defined]
            except OperationRefused as refused:
                raise CommandError(str(refused)) from refused
        self.stdout.write(f"grant {grant.pk}: {account} is an administrator, once enrolled by {link}")
