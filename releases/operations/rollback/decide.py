"""rollback:raise, assess, authorise, pre_authorise, dismiss, retry, close: the decisions of chapter 7 (B1–B6)."""

from typing import Any, Literal

from django.db.models import Q
from django.utils.translation import get_language, gettext as _

from audit.actor import current
from audit.clock import now
from audit.operation import Operation, operation
from audit.plain import is_blank
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.language import listed
from environments.models import Account
from environments.targets.words import gettext_noop
from releases import dispatch
from releases.gates.base import procedure_of
from releases.gates.quorum import words_for
from releases.models import DecisionRequest, Deployment, Rollback, Step, TeamMember
from releases.operations.follow_up.create import create
from releases.operations.rollback.confirm_late import (
    DECIDER,
    clear_changed,
    confirmed_by,
    late_rules,
    missing,
    require_shown,
)
from releases.procedures.values import ROLLBACK_DOCUMENTS
from releases.queries.rollback_candidates import is_late, refusal, restores
from releases.queries.rollback_causes import FAILED_CHECK, FAILED_STEP, FAILURES, NO_RESPONSE, REHEARSAL
from releases.queries.rollback_communication import FOLLOW_UP, uncommunicated


def raise_(
    deployment_id: int, *, cause: str, critical: bool = True, note: str = "", facts: dict[str, Any] | None = None
) -> Rollback:
    """Raise the alarm, as a person or from the monitoring; one open rollback per deployment."""
    with operation("rollback:raise", (Deployment, deployment_id), reason=note) as op:
        deployment = op.get(Deployment)
        account = None
        if current().account_id is not None:
            account = access.current_account()
            critical = _critical(deployment, cause)
            if not access.may(account, "raise_rollback", deployment.environment):
                access.require("roll_back", deployment.environment)
        if why := refusal(deployment):
            raise NotPossible(why)
        if Rollback.objects.filter(deployment=deployment).filter(~Q(state__in=list(Rollback.ENDS))).exists():
            raise NotPossible(_("There is already an open rollback."))
        rollback = Rollback.objects.create(
            deployment=deployment,
            cause=cause,
            critical=critical,
            note=note,
            raised_by=account,
            raised_at=now(),
            facts=(_failed_before(deployment) | (facts or {})),
        )
        op.about(rollback, cause=cause)
        dispatch.wake_on_commit(deployment.environment.slug, "prepare_rollback", rollback_id=rollback.pk)
    return rollback


def _failed_before(deployment: Deployment) -> dict[str, str]:
    """Return since when a step of the deployment is failed or undecided, as a fact of an alarm; empty where none is."""
    forward = deployment.steps.filter(phase__in=["deployment", "verification"], state__in=["failed", "outcome_unknown"])
    first = forward.exclude(step_type="manual").exclude(ended_at=None).order_by("ended_at").first()
    return {"failing_since": first.ended_at.isoformat()} if first is not None and first.ended_at is not None else {}


def raise_after_failure(op: Operation, deployment: Deployment, step: Step) -> None:
    """Raise the alarm for a step or check that has failed, where the approval pre-authorises the rollback for that.

    It runs inside the open operation of the outcome. A step that may be skipped asks a person, as does a deployment
    with an open alarm.
    """
    allowed = _approved(deployment)
    if not (allowed.get("on") and allowed.get("on_failure") and step.required):
        return
    if Rollback.objects.filter(deployment=deployment).exclude(state__in=list(Rollback.ENDS)).exists():
        return
    rollback = Rollback.objects.create(
        deployment=deployment,
        cause=FAILED_CHECK if step.phase == Step.Phase.VERIFICATION else FAILED_STEP,
        raised_at=op.at,
        facts={"failed_step": step.pk, "failing_since": op.at.isoformat()},
    )
    op.add_event("rollback:raise", rollback, cause=rollback.cause)
    dispatch.wake_on_commit(deployment.environment.slug, "prepare_rollback", rollback_id=rollback.pk)


def end_alarm_of_failure(deployment: Deployment) -> None:
    """Dismiss the alarm that the failure has raised, inside the open operation of a decision to go on.

    Raises NotPossible when its rollback is authorised already.
    """
    alarms = Rollback.objects.filter(deployment=deployment, cause__in=FAILURES).exclude(state__in=list(Rollback.ENDS))
    for rollback in alarms.select_for_update(of=("self",), no_key=True):
        if rollback.state == "authorised":
            raise NotPossible(_("The rollback of this deployment is authorised and about to start."))
        rollback.dismiss()
        rollback.save()


def _approved(deployment: Deployment) -> dict[str, Any]:
    """Return what the approval authorises in advance (see Release.preauthorisation); empty without an approval."""
    return (
        deployment.approval_request.document.get("rollback_pre_authorised", {}) if deployment.approval_request else {}
    )


def _agreed(rollback: Rollback, deployment: Deployment) -> bool:
    """Tell whether the approval orders the rollback when no one responds, and no one has responded or dismissed."""
    document = deployment.approval_request.document if deployment.approval_request is not None else {}
    if document.get("on_timeout") != "roll_back":
        return False
    last = DecisionRequest.objects.filter(deployment=deployment).order_by("pk").last()
    ended_requests = False
    if deployment.state == "awaiting_decision" and last is not None and last.ended_to("roll_back"):
        since = Rollback.objects.filter(deployment=deployment, raised_at__gte=last.requested_at)
        ended_requests = not since.filter(state="dismissed").exists()  # otherwise somebody has decided
    return ended_requests or (rollback.cause == NO_RESPONSE and rollback.raised_by_id is None)


def _critical(deployment: Deployment, cause: str) -> bool:
    if cause == REHEARSAL and deployment.environment.tier != "production":
        return False
    content = deployment.content
    known = {trigger.key: trigger.critical for trigger in content.triggers}
    known |= {ground.key: True for ground in content.rollback.reasons if ground.key not in known}
    if cause not in known:
        raise InvalidInput(_("The release procedure does not name this cause: %(cause)s") % {"cause": cause})
    return known[cause]


def uncounted(rollback: Rollback) -> bool:
    """Tell whether this rollback's data loss is not counted yet, or its approval is still to be asked."""
    return may_pre_authorise(rollback) or (rollback.state == "assessed" and "rows_total" not in rollback.facts)


def may_pre_authorise(rollback: Rollback) -> bool:
    """Tell whether the approval may still authorise an alarm: no person has assessed it in its present form."""
    return rollback.state == "raised" or (rollback.state == "assessed" and "raised_as" in rollback.facts)


def pre_authorise(rollback_id: int, *, rows: dict[str, int], exact: bool = True, fault: str = "") -> bool:
    """Authorise by the approval, where it allows a critical alarm up to so many rows; else keep the count and ask.

    rows: rows per table that the rollback would lose, counted on the target; exact: no counted row was written before.
    fault: why they can't be counted; then a person decides. Returns whether it may begin.
    """
    unlocked = Rollback.objects.get(pk=rollback_id)
    with operation(
        "rollback:apply_pre_authorisation", (Rollback, rollback_id), (Deployment, unlocked.deployment_id)
    ) as op:
        rollback, deployment = op.get(Rollback), op.get(Deployment)
        if rollback.state not in ("raised", "assessed"):
            return rollback.state == "authorised"
        approved = _approved(deployment)
        total = sum(rows.values())
        limit = int(approved.get("rows", 0))
        counted = {"rows": rows, "rows_total": None if fault else total, "rows_limit": limit, "rows_exact": exact}
        known = {key: value for key, value in rollback.facts.items() if not key.startswith("rows")}
        rollback.facts = known | counted | ({"rows_fault": fault} if fault else {})
        clear_changed(rollback, op)
        agreed = _agreed(rollback, deployment)
        if not (may_pre_authorise(rollback) or agreed):
            return False
        after_failure = rollback.cause in FAILURES and not approved.get("on_failure")
        beforehand = agreed or (approved.get("on") and rollback.critical and not after_failure)
        if fault or is_late(deployment) or not beforehand or total > limit:
            op.details["needs_decision"] = True
            deployment.blockers = [gettext_noop("A rollback awaits assessment and authorisation.")]
            return False
        rollback.apply_pre_authorisation()
        record_authorisation(rollback, "no_response" if agreed else "pre_authorised")
        op.notify_as("rollback:authorise")
        for key in ("assessment", *([FOLLOW_UP] if uncommunicated(rollback) else [])):
            create(deployment.release, key, now(), deployment.environment.zone, about=str(rollback))
        return True


def assess(rollback_id: int, *, impact: str, method: str, timing: str) -> Rollback:
    """Record impact, method and timing (B3); cannot be skipped unless the rollback is pre-authorised."""
    with operation("rollback:assess", (Rollback, rollback_id)) as op:
        account = access.require("assess_rollback")
        rollback = op.get(Rollback)
        if any(map(is_blank, (impact, method, timing))):
            raise InvalidInput(_("Impact, method and timing are all needed."))
        if rollback.state == "raised":
            rollback.assess()
        elif rollback.state in Rollback.ENDS:
            raise NotPossible(_("This rollback has ended."))
        elif rollback.state == "authorised" and rollback.authorised_by is not None:
            # It was authorised as it was assessed, and begins as that.
            text = _("This operation is not possible in the state “%(state)s”.")
            raise NotPossible(text % {"state": rollback.get_state_display()})
        rollback.impact, rollback.method, rollback.timing = impact, method, timing
        rollback.assessed_by = account
        clear_changed(rollback, op)
    return rollback


def authorise(rollback_id: int, *, digest: str, reason: str = "") -> Rollback:
    """Authorise what the page showed, as the team's rollback decision maker."""
    with operation("rollback:authorise", (Rollback, rollback_id), reason=reason, sign=True) as op:
        rollback = op.get(Rollback)
        deployment = rollback.deployment
        account = access.require("authorise_rollback", deployment.environment)
        if why := why_not_permitted(account, rollback):
            raise NotPermitted(why)
        rollback.authorise()
        _require_late_approval(rollback)
        if restores(deployment) and "rows_total" not in rollback.facts:
            raise GateNotPassed(
                _(
                    "Ringi is still counting the rows written since the backup. No decision is possible "
                    "without this count."
                )
            )
        _require_communicated(rollback)
        require_shown(rollback, digest)
        rollback.authorised_by = account
        record_authorisation(rollback, "person")
        op.details.update({key: value for key, value in rollback.facts.items() if key.startswith("rows")})
        op.signature(digest)
        dispatch.wake_on_commit(deployment.environment.slug, "prepare_rollback", rollback_id=rollback.pk)
    return rollback


def why_not_permitted(account: Account, rollback: Rollback) -> str:
    """Return why a person may not authorise a rollback; empty when they may: only the team's decision maker may."""
    deployment = rollback.deployment
    named = [
        entry.account
        for entry in deployment.release.team_members.all()
        if entry.team_role == TeamMember.TeamRole.ROLLBACK_DECISION_MAKER
    ]
    if deployment.environment.protected and account.person_key not in {one.person_key for one in named}:
        text = _("The release team names another rollback decision maker: %(who)s")
        return text % {"who": named[0] if named else "—"}
    asked_too = is_late(deployment) and any(rule["role"] == DECIDER for rule in late_rules(rollback))
    if asked_too and account.is_among(confirmed_by(rollback)):
        return _("A different person from the one before must do this.")
    return ""


def _require_communicated(rollback: Rollback) -> None:
    if items := uncommunicated(rollback):
        raise GateNotPassed(_("Not communicated yet: %(items)s") % {"items": listed(items)})


def _require_late_approval(rollback: Rollback) -> None:
    """Require the confirmations of the others where the monitoring has ended; raises GateNotPassed."""
    if not is_late(rollback.deployment):
        return
    if not late_rules(rollback):
        raise GateNotPassed(_("The release procedure has no approval rule for this, so no approval is possible."))
    if remaining := missing(rollback):
        raise GateNotPassed(
            _("Monitoring has ended. Approval is still needed from: %(who)s") % {"who": words_for(remaining)}
        )


def dismiss(rollback_id: int, *, reason: str) -> Rollback:
    """Dismiss the alarm: it gave no reason for a rollback."""
    with operation("rollback:dismiss", (Rollback, rollback_id), reason=reason, sign=True) as op:
        account, rollback = access.require("dismiss_rollback"), op.get(Rollback)
        if why := why_dismiss_not_permitted(account, rollback):
            raise NotPermitted(why)
        op.require_reason()
        rollback.dismiss()
        op.signature()
    return rollback


def why_dismiss_not_permitted(account: Account, rollback: Rollback) -> str:
    """Return why a person may not dismiss an alarm; empty when they may."""
    text = _("You have scheduled this deployment; another person must judge its monitoring result.")
    deployment, why = (rollback.deployment, text)
    return why if deployment.environment.protected and deployment.was_started_by(account) else ""


def close(rollback_id: int, *, reason: str = "") -> Rollback:
    """Close it once report, cause and prevention are approved and the assessment is there."""
    with operation("rollback:close", (Rollback, rollback_id), reason=reason, sign=True) as op:
        access.require("assess_rollback")
        rollback = op.get(Rollback)
        rollback.close()
        done = set(
            rollback.documents.filter(state__in=["approved", "ready_to_publish", "published"]).values_list(
                "kind", flat=True
            )
        )
        missing = ROLLBACK_DOCUMENTS - done
        if missing:
            rows = procedure_of(rollback.deployment.release).rollback.documents
            names = [row.label(get_language() or "ja") for row in rows if row.key in missing]
            raise GateNotPassed(_("Not approved yet: %(items)s") % {"items": listed(names)})
        if not rollback.impact:
            raise GateNotPassed(_("The assessment is still open as a follow-up action."))
        _require_communicated(rollback)
        rollback.closed_at = now()
        op.signature()
    return rollback


def record_authorisation(rollback: Rollback, how: Literal["person", "pre_authorised", "no_response"]) -> None:
    """Record, inside an open operation, that a rollback is authorised now and how."""
    rollback.facts = {**rollback.facts, "authorised": {"how": how, "at": now().isoformat()}}
