"""Previews of operations that take away people or roles: the rules that could no longer be met. Read only."""

from typing import Any

from django.utils.translation import gettext as _

from environments.models import AccessGrant, Account
from releases.gates.staffing import shortfalls, worse
from releases.models import Procedure

Lines = list[tuple[str, str]]


def of_ending(grant: AccessGrant, values: dict[str, Any]) -> Lines:
    """Return the rules that could no longer be met without a grant."""
    return _lines(without=[grant.pk])


def of_closing(account: Account, values: dict[str, Any]) -> Lines:
    """Return the rules that could no longer be met without any grant of an account."""
    return _lines(without=list(account.grants.values_list("pk", flat=True)))


def of_absence(instance: Any, values: dict[str, Any]) -> Lines:
    """Return the rules that cannot be met while a delegate acts for an absent person."""
    pair = (Account.objects.get(pk=values["delegator_id"]), Account.objects.get(pk=values["delegate_id"]))
    return _lines(at=values["starts_at"], absences=[pair])


def _lines(**then: Any) -> Lines:
    if Procedure.objects.of(None) is None:
        return []
    found = worse(shortfalls(at=then.get("at")), shortfalls(**then))
    return [(_("Rules that could no longer be met"), "\n".join(map(str, found)) or _("none"))]
