"""rollback:escalate: a critical trigger fires while an alarm that is not critical still waits for a person."""

from typing import Any

from audit.change import change
from releases import dispatch
from releases.actions.rollback.agree import clear_changed
from releases.models import Deployment, Rollback


def escalate(rollback_id: int, *, cause: str, note: str, facts: dict[str, Any]) -> Rollback:
    """Make the open alarm the critical one, and ask anew whether the consent authorised it beforehand."""
    peek = Rollback.objects.get(pk=rollback_id)
    with change("rollback:escalate", (Rollback, rollback_id), (Deployment, peek.deployment_id), reason=note) as act:
        rollback, deployment = act.get(Rollback), act.get(Deployment)
        if rollback.state in ("raised", "assessed") and not rollback.critical:
            act.details["before"] = rollback.cause
            known = {key: value for key, value in rollback.facts.items() if not key.startswith("rows")}
            rollback.facts = {**known, **facts, "raised_as": rollback.cause}
            if began := [entry["failing_since"] for entry in (known, facts) if "failing_since" in entry]:
                rollback.facts["failing_since"] = min(began)
            rollback.cause, rollback.critical, rollback.note = cause, True, note
            clear_changed(rollback, act)
            dispatch.wake_on_commit(deployment.environment.slug, "prepare_rollback", rollback_id=rollback.pk)
    return rollback
