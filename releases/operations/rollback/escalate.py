"""rollback:escalate: a critical trigger fires while an alarm that is not critical still waits for a person."""

from typing import Any

from audit.operation import operation
from releases import dispatch
from releases.models import Deployment, Rollback
from releases.operations.rollback.confirm_late import clear_changed


def escalate(rollback_id: int, *, cause: str, note: str, facts: dict[str, Any]) -> Rollback:
    """Make the open alarm critical, and check again whether the approval pre-authorises it."""
    unlocked = Rollback.objects.get(pk=rollback_id)
    with operation(
        "rollback:escalate", (Rollback, rollback_id), (Deployment, unlocked.deployment_id), reason=note
    ) as op:
        rollback, deployment = op.get(Rollback), op.get(Deployment)
        if rollback.state in ("raised", "assessed") and not rollback.critical:
            op.details["before"] = rollback.cause
            known = {key: value for key, value in rollback.facts.items() if not key.startswith("rows")}
            rollback.facts = {**known, **facts, "raised_as": rollback.cause}
            if began := [entry["failing_since"] for entry in (known, facts) if "failing_since" in entry]:
                rollback.facts["failing_since"] = min(began)
            rollback.cause, rollback.critical, rollback.note = cause, True, note
            clear_changed(rollback, op)
            dispatch.wake_on_commit(deployment.environment.slug, "prepare_rollback", rollback_id=rollback.pk)
    return rollback
