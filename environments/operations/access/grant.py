"""access:grant, access:confirm, access:revoke: giving people their roles (E3)."""

from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _

from audit.actor import current
from audit.clock import now
from audit.operation import Operation, operation
from audit.plain import is_blank
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.departures import check_departures
from environments.models import AccessGrant, AccessRequest, Account, Application, Environment, Role


def request_role(
    account_id: int,
    *,
    role: str,
    reason: str,
    environment_id: int | None = None,
    application_id: int | None = None,
    application_group: str = "",
    starts_at: datetime | None = None,
    until: datetime | None = None,
) -> AccessGrant:
    """Give an account a role, but not one's own; a deciding role waits for a second person. Raises
    NotPermitted, InvalidInput, NotPossible.

    environment_id: left out, in all of them. application_id or application_group, the key of a group: left out, for all
    applications.
    """
    with operation("access:grant", (Account, account_id), reason=reason, sign=current().kind != "command") as op:
        account = op.get(Account)
        environment = Environment.objects.filter(pk=environment_id).first() if environment_id else None
        if environment_id and environment is None:
            raise InvalidInput(_("The selected environment does not exist."))
        scope = scope_of(application_id, application_group)
        by_command = current().kind == "command"
        giver = None if by_command else access.require("manage_access", environment, application=application_id)
        if giver is not None and giver.is_among(account.identities):
            raise NotPermitted(_("You cannot grant access to yourself."))
        grant = new_grant(account, role, environment, giver, reason=reason, starts_at=starts_at, until=until, **scope)
        confirm_without_second(op, grant)
        grant.save()
        if giver is not None:
            op.signature()
        limited = {"application": grant.application.slug} if grant.application is not None else {}
        limited |= {"application_group": application_group} if application_group else {}
        op.about(grant, role=role, waits=grant.confirmed_at is None, **limited)
    return grant


def scope_of(application_id: int | None, application_group: str) -> dict[str, Any]:
    """Return the columns for the applications of a grant; raises InvalidInput for one, or a group, that is not
    there.
    """
    if application_id is not None and application_group:
        raise InvalidInput(_("Choose an application or a group of applications, not both."))
    application = Application.objects.filter(pk=application_id).first() if application_id is not None else None
    if application_id is not None and application is None:
        raise InvalidInput(_("The selected application does not exist."))
    if application_group and not Application.objects.filter(group=application_group).exists():
        raise InvalidInput(_("No application belongs to the group “%(name)s”.") % {"name": application_group})
    return {"application": application, "application_group": application_group}


def new_grant(
    account: Account,
    role: str,
    environment: Environment | None,
    giver: Account | None,
    *,
    reason: str,
    starts_at: datetime | None = None,
    until: datetime | None = None,
    application: Application | None = None,
    application_group: str = "",
) -> AccessGrant:
    """Return a grant that is not saved yet, from inside an operation; a deciding role of a person's giving is
    unconfirmed. Raises InvalidInput, NotPossible.
    """
    moment = now()
    held = Role.objects.filter(key=role).first()
    if held is None or not held.may_be_granted:
        raise InvalidInput(_("The selected role does not exist."))
    if not account.is_active:
        raise NotPossible(_("This account is deactivated."))
    if is_blank(reason):
        raise InvalidInput(_("A grant needs a reason."))
    if account.kind == Account.Kind.SERVICE and not held.is_service:
        raise InvalidInput(_("A service account can only hold the role CI or the role for provisioning."))
    if account.kind == Account.Kind.PERSON and held.is_service:
        raise InvalidInput(_("Only a service account holds this role."))
    others = AccessGrant.objects.lasting().filter(account=account).exclude(role__based_on=held.based_on)
    if held.is_service and others.exists():
        raise InvalidInput(_("A service account holds either the role CI or the role for provisioning."))
    if until is not None and until <= moment:
        raise InvalidInput(_("The end lies in the past."))
    if until is not None and starts_at is not None and until <= starts_at:
        raise InvalidInput(_("The end of this grant is before its start."))
    grant = AccessGrant(
        account=account,
        role=held,
        environment=environment,
        application=application,
        application_group=application_group,
        starts_at=starts_at or moment,
        until=until,
        reason=reason,
        granted_by=giver,
    )
    if giver is None or not held.decides:
        grant.confirmed_at, grant.confirmed_by = moment, giver
    return grant


def confirm_without_second(op: Operation, grant: AccessGrant) -> None:
    """Confirm, not saved yet, the role of the second administrator ever, whom only the first one could appoint."""
    of_all = grant.role_id == "administrator" and grant.application_id is None and not grant.application_group
    waits = grant.confirmed_at is None and grant.account.enrolled_at is not None
    if waits and of_all and _only_one_ever():
        op.details["without_second"] = "there has never been a second administrator"
        grant.confirmed_at, grant.confirmed_by = now(), grant.granted_by


def _only_one_ever() -> bool:
    """Tell whether there has never been a second administrator, who could confirm another one.

    Past administrators count, since one could otherwise revoke the others to decide alone. Accounts are counted
    and not persons, because an employee id can be edited afterwards.
    """
    earlier = AccessGrant.objects.for_application(None).filter(role__key="administrator", confirmed_at__isnull=False)
    accounts = earlier.values("account").distinct()
    if accounts.count() != 1:
        return False
    # Counted again under a lock, so that of two given at once one is the third.
    list(earlier.select_for_update(of=("self",), no_key=True).order_by("pk"))
    return accounts.count() == 1


def confirm(grant_id: int, *, reason: str = "") -> AccessGrant:
    """Confirm a deciding role as the second person; what was asked for some hours lasts so long from now.

    Of a role that a group kept by SCIM gives, no administrator was the first person: the first who confirms is that.
    """
    with operation("access:confirm", (AccessGrant, grant_id), reason=reason, sign=True) as op:
        grant = op.get(AccessGrant)
        second = access.require("manage_access", grant.environment)
        if grant.confirmed_at is not None or grant.revoked_at is not None:
            raise NotPossible(_("This grant is not awaiting confirmation."))
        if grant.account.must_enrol:
            text = _("%(name)s has not enrolled yet. Confirm the role after that, so that you know who holds it.")
            raise NotPossible(text % {"name": grant.account})
        first = grant.granted_by
        if first is not None and second.is_among(first.identities):
            raise NotPermitted(_("A second person must confirm this."))
        if second.is_among(grant.account.identities):
            raise NotPermitted(_("You cannot grant access to yourself."))
        # Of a group's role, the first may have lost the right since: then another is the first.
        gone = first is not None and not access.may(first, "manage_access", grant.environment)
        op.details["awaits_second_person"] = alone = first is None or gone and grant.group_role_id is not None
        if alone:
            grant.granted_by = second
            op.signature()
            return grant
        access.require_still(first, "manage_access", grant.environment)
        moment = now()
        asked = AccessRequest.objects.filter(grant=grant).first()
        if asked is not None:
            grant.starts_at, grant.until = moment, moment + timedelta(hours=asked.hours)
        grant.confirmed_by, grant.confirmed_at = second, moment
        op.signature()
    return grant


def revoke(grant_id: int, *, reason: str) -> AccessGrant:
    """End a grant now, also one that begins later. Raises GateNotPassed when a rule could not be met any more."""
    with operation("access:revoke", (AccessGrant, grant_id), reason=reason, sign=True) as op:
        grant = op.get(AccessGrant)
        access.require("manage_access", grant.environment)
        if grant.revoked_at is not None:
            raise NotPossible(_("This grant has already ended."))
        if is_blank(reason):
            raise InvalidInput(_("Revoking a grant needs a reason."))
        check_departures(op, [grant.pk], refuses=True)
        grant.revoked_at = now()
        op.signature()
    return grant


def end_grants(op: Operation, grants: list[int]) -> None:
    """End grants that groups gave, inside an open operation. They are not revoked: who joins again has them again."""
    rows = AccessGrant.objects.filter(pk__in=grants).select_for_update(of=("self",), no_key=True)
    for grant in rows.order_by("pk"):
        grant.until = now()
        grant.save()
        op.add_event("access:revoke", grant, role=grant.role_id)


def end_group_grants(op: Operation, account: Account) -> None:
    """End what groups gave an account that the provider will not sign in any more, inside an open operation."""
    given = AccessGrant.objects.lasting().filter(account=account, group_role__isnull=False)
    ending = list(given.values_list("pk", flat=True))
    check_departures(op, ending, refuses=False)
    end_grants(op, ending)
