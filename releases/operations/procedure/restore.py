"""procedure:request_restore: an earlier version is put back into effect when the one in effect locks everybody out.

The rules are not those of a procedure: the administrator who requests it, a second one, and an auditor as witness.
"""

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from audit.operation import operation
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.models import Account
from releases.models import ApprovalRequest, Procedure
from releases.operations.procedure.put_into_effect import in_effect
from releases.operations.release.end_approval import withdraw_open
from releases.operations.release.request_approval import request_approval
from releases.queries.procedure_grants import begin_to_count

RULES = [{"stage": 1, "role": role, "number": 1} for role in ("administrator", "auditor")]
EVENT = "procedure:restore"


def request_restore(procedure_id: int, *, reason: str) -> ApprovalRequest:
    """Request that a retired version takes effect again; a second administrator and an auditor approve it."""
    with operation("procedure:request_restore", (Procedure, procedure_id), reason=reason, sign=True) as op:
        account, procedure = access.require("restore_procedure"), op.get(Procedure)
        access.require_factor_anywhere()
        op.require_reason()
        if why := why_not_permitted(account, procedure):
            raise NotPermitted(why)
        if procedure.state != Procedure.State.RETIRED:
            raise NotPossible(_("Only a version that was in effect before can take effect again."))
        if ApprovalRequest.objects.filter(procedure=procedure, state="in_review").exists():
            raise InvalidInput(_("An approval request for this version is open already."))
        content: dict[str, Any] = {
            "base": in_effect(procedure.key),
            "version": procedure.version,
            "digest": procedure.digest,
            "reason": reason,
        }
        if grants := begin_to_count(procedure.document):
            content["grants"] = grants
        approval_request = request_approval(
            ApprovalRequest.Subject.PROCEDURE_RESTORE, content, RULES, account, procedure=procedure
        )
        op.signature(approval_request.digest)
        op.about(procedure, approval_request=approval_request.pk)
        op.add_event(EVENT, procedure)
    return approval_request


def withdraw(procedure_id: int, *, reason: str) -> Procedure:
    """Withdraw the request that a retired version takes effect again; the version stays retired."""
    with operation("procedure:withdraw_restore", (Procedure, procedure_id), reason=reason) as op:
        account, procedure = access.require("restore_procedure"), op.get(Procedure)
        op.require_reason()
        if why := why_not_permitted(account, procedure):
            raise NotPermitted(why)
        if why := not_requested(procedure):
            raise NotPossible(why)
        withdraw_open(procedure=procedure)
    return procedure


def not_requested(procedure: Procedure) -> str:
    """Return that nobody has requested that a version takes effect again; empty while there is an open request."""
    return "" if _requested(procedure).exists() else _("There is no open request for this version.")


def _requested(procedure: Procedure) -> QuerySet[ApprovalRequest]:
    subject = ApprovalRequest.Subject.PROCEDURE_RESTORE
    return ApprovalRequest.objects.filter(procedure=procedure, subject=subject, state="in_review")


def why_not_permitted(account: Account, procedure: Procedure) -> str:
    """Return why a person may not request it; empty when they may: only an administrator."""
    if "administrator" in access.roles_of(account, application=None):
        return ""
    return _("Only an administrator may request that an earlier version takes effect again.")
