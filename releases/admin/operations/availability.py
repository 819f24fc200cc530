"""Availability of verbs on a row: one answer for buttons, the page of an operation and the page to sign."""

from typing import Any

from audit.models import CheckpointDelivery, ClosedYear, LedgerResumption
from environments.admin.rights import Rights
from environments.models import (
    AccessGrant,
    AccessRequest,
    AccessReview,
    AccessReviewItem,
    Account,
    Application,
    Delegation,
    DeploymentTarget,
    GroupRole,
    RequestedChange,
    Token,
)
from releases.admin.operations.base import Verb
from releases.models import (
    ApprovalRequest,
    ChecklistItem,
    DeployedVersion,
    Erasure,
    FollowUp,
    GroupRecipient,
    MonitoringPeriod,
    Procedure,
    Release,
    Step,
    Waiver,
)


def offered(verb: Verb, rights: Rights, instance: Any) -> bool:
    """Tell whether a reader gets the button of a verb; it may still wait for a state (`not_now` says for which)."""
    return not (instance is not None and nothing_left(verb, rights, instance)) and verb.for_you(rights, instance)


def nothing_left(verb: Verb, rights: Rights, instance: Any) -> bool:
    """Tell whether a verb has nothing left to do on a row without a state machine, or only for another person."""
    me = rights.account
    mine = me.person_key if me is not None else ""
    match instance:
        case ChecklistItem():
            return instance.signed_at is not None
        case FollowUp():
            return instance.completed_at is not None
        case Waiver():
            decided = instance.approved_at is not None or instance.rejected_at is not None
            ended = instance.revoked_at is not None or instance.rejected_at is not None
            return ended if verb.name == "revoke" else decided or ended
        case ApprovalRequest():
            return verb.name == "approve_with_condition" and instance.release_id is None
        case Release():
            return verb.name == "use_process" and instance.process_id is None
        case Procedure():
            return verb.name == "withdraw_restore" and bool(verb.not_now(instance))
        case Application() | DeploymentTarget() if verb.name in ("retire", "reinstate"):
            return instance.retired == (verb.name == "retire")
        case DeployedVersion():
            return instance.basis != "requested"
        case CheckpointDelivery() | LedgerResumption():
            return bool(verb.not_now(instance))
        case ClosedYear():
            own = verb.name == "confirm_closing" and instance.requested_person == mine
            return own or bool(verb.not_now(instance))
        case MonitoringPeriod():
            return instance.result != "inconclusive"
        case Step():
            other = {"mark_succeeded": instance.step_type == "manual", "confirm_manual": instance.step_type != "manual"}
            other["skip"] = instance.required
            return bool(verb.not_now(instance)) or other.get(verb.name, False)
        case AccessGrant():
            second = verb.name != "confirm" or (
                instance.confirmed_at is None
                and instance.granted_by_id != getattr(me, "pk", 0)
                and instance.account.person_key != mine
                and not instance.account.must_enrol
            )
            return instance.revoked_at is not None or not second
        case AccessRequest():
            return instance.decided_at is not None or instance.account.person_key == mine
        case AccessReview():
            return instance.closed_at is not None
        case AccessReviewItem():
            return (
                bool(instance.result)
                or instance.review.closed_at is not None
                or instance.grant.account.person_key == mine
            )
        case Delegation():
            parties = (instance.delegator_id, instance.delegate_id)
            if instance.revoked_at is not None:
                return True
            if verb.name == "confirm":
                return instance.confirmed_at is not None or getattr(me, "pk", 0) in (*parties, instance.requested_by_id)
            return getattr(me, "pk", 0) not in parties and not rights.may("manage_access")
        case GroupRole():
            if verb.name == "confirm":
                decided = instance.confirmed_at is not None or instance.ended_at is not None
                return decided or instance.requested_by.person_key == mine
            return instance.ended_at is not None
        case RequestedChange():
            return instance.decided_at is not None
        case Token():
            return instance.revoked_at is not None
        case Account():
            return _account(verb, instance, mine)
        case GroupRecipient():
            return _recipient(verb, instance, mine)
    return False


def _recipient(verb: Verb, row: GroupRecipient, mine: str) -> bool:
    erasable = row.account_id is None and row.removed_at is not None and row.address != ""
    asked = Erasure.open_of(row) if erasable and verb.noun == "erasure" else None
    match verb.key:
        case "recipient:remove":
            return row.removed_at is not None
        case "erasure:request_recipient":
            return not erasable or asked is not None
        case "erasure:confirm_recipient":
            return asked is None or asked.requested_person == mine
    return asked is None


def _account(verb: Verb, row: Account, mine: str) -> bool:
    own, service = row.person_key == mine, row.kind == Account.Kind.SERVICE
    match verb.key:
        case "account:reactivate":
            return row.is_active or own
        case "account:edit":
            return False
        case "erasure:request":
            return row.is_active or own or Erasure.open_of(row) is not None
        case "erasure:confirm" | "erasure:reject":
            asked = None if row.is_active else Erasure.open_of(row)
            return asked is None or (verb.name == "confirm" and (own or asked.requested_person == mine))
        case "account:hand_over":
            return own or service or row.provisioned or row.break_glass or not row.is_active
        case "account:invite":
            return not row.is_active or own or service
        case "token:issue":
            return not row.is_active or not service
    return not row.is_active or own
