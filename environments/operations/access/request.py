"""access:request, access:approve, access:reject: more access for some hours, asked for by one and given by another."""

from datetime import timedelta

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.plain import is_blank
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.models import AccessGrant, AccessRequest, Account, Application, Environment, Role
from environments.operations.access.grant import new_grant
from environments.roles import ASKED_FOR

MOST_HOURS = 72


def request(
    *, role: str, environment_id: int, hours: int, reason: str, application_id: int | None = None
) -> AccessRequest:
    """Ask for a role in an environment for some hours (1 to MOST_HOURS). Raises NotPermitted, InvalidInput.

    application_id: left out, for all applications.
    """
    with operation("access:request", reason=reason) as op:
        access.require("read")
        account = access.require_part()
        if account.kind != Account.Kind.PERSON:
            raise NotPermitted(_("Only a personal account can perform this operation."))
        environment = Environment.objects.filter(pk=environment_id).first()
        if environment is None:
            raise InvalidInput(_("The selected environment does not exist."))
        application = Application.objects.filter(pk=application_id).first() if application_id is not None else None
        if application_id is not None and application is None:
            raise InvalidInput(_("The selected application does not exist."))
        asked_for = Role.objects.filter(key=role, state=Role.State.IN_USE).first()
        if asked_for is None or asked_for.based_on not in ASKED_FOR:
            raise InvalidInput(_("This role cannot be granted for a limited time."))
        if not 1 <= hours <= MOST_HOURS:
            raise InvalidInput(_("Request access for 1 to %(hours)d hours.") % {"hours": MOST_HOURS})
        if is_blank(reason):
            raise InvalidInput(_("Enter the purpose of this access."))
        if role in access.roles_of(account, environment, application_id):
            text = _("You already hold the role “%(role)s” in this environment.")
            raise InvalidInput(text % {"role": str(asked_for)})
        what = {"account": account, "role": asked_for, "environment": environment, "application": application}
        if AccessRequest.objects.filter(**what, decided_at=None).exists():
            raise InvalidInput(_("You have already requested this access. The request is awaiting a decision."))
        asked = AccessRequest.objects.create(**what, hours=hours, reason=reason.strip())
        op.about(asked, role=role, environment=environment.slug, hours=hours)
    return asked


def approve(request_id: int, *, answer: str = "") -> AccessRequest:
    """Give what was asked for, as another person; a deciding role waits for a second one. It ends by itself. Raises
    NotPermitted, NotPossible.
    """
    with operation("access:approve", (AccessRequest, request_id), reason=answer, sign=True) as op:
        asked, giver = _decide(op.get(AccessRequest), answer)
        moment = now()
        grant: AccessGrant = new_grant(
            asked.account,
            asked.role_id,
            asked.environment,
            giver,
            reason=asked.reason,
            starts_at=moment,
            until=moment + timedelta(hours=asked.hours),
            application=asked.application,
        )
        grant.save()
        asked.grant = grant
        op.signature()
        op.details.update(grant=grant.pk, until=str(grant.until), waits=grant.confirmed_at is None)
    return asked


def reject(request_id: int, *, answer: str) -> AccessRequest:
    """Reject a request, with a reason. Raises NotPermitted, InvalidInput, NotPossible."""
    with operation("access:reject", (AccessRequest, request_id), reason=answer) as op:
        asked, _giver = _decide(op.get(AccessRequest), answer)
        if is_blank(answer):
            raise InvalidInput(_("Enter a reason."))
    return asked


def _decide(asked: AccessRequest, answer: str) -> tuple[AccessRequest, Account]:
    giver = access.require("manage_access", asked.environment)
    if asked.decided_at is not None:
        raise NotPossible(_("This request has already been decided."))
    if giver.is_among(asked.account.identities):
        raise NotPermitted(_("You cannot grant access to yourself."))
    asked.decided_by, asked.decided_at, asked.answer = giver, now(), answer.strip()
    return asked, giver
