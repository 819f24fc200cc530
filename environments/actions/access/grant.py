"""access:propose, access:confirm, access:withdraw: giving people their roles (E3)."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _

from audit.actor import current
from audit.change import change
from audit.clock import now
from audit.refusals import Invalid, NotYou, WrongState
from environments import access
from environments.models import AccessGrant, Account, Environment
from environments.roles import DECIDING


def propose(
    account_id: int,
    *,
    role: str,
    reason: str,
    environment_id: int | None = None,
    begins_at: datetime | None = None,
    until: datetime | None = None,
) -> AccessGrant:
    """Give an account a role; nobody gives one to himself, and a deciding role waits for a second person."""
    with change("access:propose", (Account, account_id), reason=reason, sign=current().kind != "command") as act:
        account = act.get(Account)
        giver = None if current().kind == "command" else access.require("grant")
        if giver is not None and giver.person_key == account.person_key:
            raise NotYou(_("Nobody gives a right to himself."))
        if not reason.strip():
            raise Invalid(_("A grant needs a reason."))
        if account.kind == Account.Kind.SERVICE and role != "ci":
            raise Invalid(_("A service account can only hold the role CI."))
        moment = now()
        if until is not None and until <= moment:
            raise Invalid(_("The end lies in the past."))
        grant = AccessGrant(
            account=account,
            role=role,
            environment=Environment.objects.get(pk=environment_id) if environment_id else None,
            begins_at=begins_at or moment,
            until=until,
            reason=reason,
            granted_by=giver,
        )
        alone = role == "administrator" and len(access.holders("administrator")) == 1
        if alone:
            act.details["without_second"] = "there is no second administrator yet"
        if role not in DECIDING or giver is None or alone:
            grant.confirmed_at, grant.confirmed_by = moment, giver
        grant.save()
        act.about(grant, role=role, waits=grant.confirmed_at is None)
    return grant


def confirm(grant_id: int, *, reason: str = "") -> AccessGrant:
    """Confirm a deciding role as the second person."""
    with change("access:confirm", (AccessGrant, grant_id), reason=reason, sign=True) as act:
        grant = act.get(AccessGrant)
        second = access.require("grant")
        if grant.confirmed_at is not None or grant.withdrawn_at is not None:
            raise WrongState(_("This grant does not wait for anyone."))
        first = grant.granted_by
        if first is not None and first.person_key == second.person_key:
            raise NotYou(_("A second person must confirm this."))
        if grant.account.person_key == second.person_key:
            raise NotYou(_("Nobody gives a right to himself."))
        grant.confirmed_by, grant.confirmed_at = second, now()
    return grant


def withdraw(grant_id: int, *, reason: str) -> AccessGrant:
    """End a grant now; it also ends what it was to allow later."""
    with change("access:withdraw", (AccessGrant, grant_id), reason=reason, sign=True) as act:
        access.require("grant")
        grant = act.get(AccessGrant)
        if grant.withdrawn_at is not None:
            raise WrongState(_("This grant has already ended."))
        if not reason.strip():
            raise Invalid(_("Ending a grant needs a reason."))
        grant.withdrawn_at = now()
    return grant
