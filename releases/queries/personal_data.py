"""The personal data of an account that an erasure empties, and what stands against it. Operation and preview ask."""

from typing import Any

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from audit.clock import now
from audit.personal import TABLES
from environments.language import listed
from environments.models import AccessGrant, Account, RequestedChange
from releases.models import NotificationDelivery, Release, SuppressedAddress, TeamMember


def personal_rows(account: Account) -> list[tuple[QuerySet[Any], dict[str, Any]]]:
    """Return the rows that hold personal data of an account, each kind with its columns and their empty values, in the
    order in which they are locked.
    """
    addressed = Q(address__iexact=account.email) & ~Q(address="")
    found: tuple[QuerySet[Any], ...] = (
        Account.objects.filter(pk=account.pk),
        RequestedChange.objects.filter(account=account),
        TeamMember.objects.filter(account=account),
        SuppressedAddress.objects.filter(addressed),
        NotificationDelivery.objects.filter(inbox_item__account=account),
    )
    kinds = []
    for rows in found:
        empty = _empty(rows.model)
        kinds.append((rows.exclude(**empty).order_by("pk"), empty))
    return kinds


def _empty(model: type[Any]) -> dict[str, Any]:
    """Return the personal columns of a model with their empty values."""
    columns = sorted(TABLES[model._meta.label].personal)
    defaults = {name: model._meta.get_field(name).get_default() for name in columns}
    return {name: {} if value is None else value for name, value in defaults.items()}


def why_not_erasable(account: Account) -> str:
    """Return why the personal data of an account can't be erased now; empty where they can."""
    if account.is_active:
        return _("This account is active. Deactivate it first.")
    if AccessGrant.objects.filter(Q(until=None) | Q(until__gt=now()), account=account, revoked_at=None).exists():
        return _("This account holds grants of access. Revoke them first.")
    member = TeamMember.objects.filter(account=account, release__state__in=Release.UNDER_WAY).first()
    if member is not None:
        return _("This person is in the team of %(release)s, which has not ended.") % {"release": member.release}
    if RequestedChange.objects.filter(account=account, decided_at=None).exists():
        return _("A requested change of this account waits. Confirm or reject it first.")
    if not any(rows.exists() for rows, _values in personal_rows(account)):
        return _("This account holds no personal data that can be erased.")
    return ""


def figures(account: Account) -> list[tuple[str, str]]:
    """Return the columns that an erasure empties, in words, with the number of rows of each kind."""
    found = []
    for rows, empty in personal_rows(account):
        names = (str(rows.model._meta.get_field(name).verbose_name) for name in empty)
        found.append((str(rows.model._meta.verbose_name), f"{rows.count()} · {listed(names)}"))
    return found
