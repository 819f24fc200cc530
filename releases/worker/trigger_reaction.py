"""The reaction to triggers that fire: an alarm is raised, or a waiting one becomes critical (B1, B2)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from environments.targets.words import gettext as _
from releases.metric_sources.triggers import Slot, Trigger, failing_since
from releases.models import Deployment, Rollback
from releases.operations.rollback.decide import raise_
from releases.operations.rollback.escalate import escalate
from releases.queries.rollback_candidates import IN_TIME


def react(deployment_id: int, rollback_id: int | None, fired: Sequence[Trigger], recent: Sequence[Slot]) -> None:
    """Raise the alarm for the first trigger that fires, critical ones first; a dry run raises nothing.

    Each reaction opens an operation of its own. rollback_id: of the rollback whose result is monitored; triggers that
    fire then are recorded and shown, and a person decides.
    """
    fired = [trigger for trigger in fired if not trigger.get("dry_run")]
    if not fired or rollback_id is not None:
        return
    trigger = fired[0]
    note = _("%(k)d of %(n)d measurements at or over the limit") % {"k": trigger["k"], "n": trigger["n"]}
    facts: dict[str, Any] = {
        "trigger": dict(trigger),
        "measurements": [dict(slot.values) for slot in recent[-trigger["n"] :]],
    }
    if (since := failing_since(trigger, recent)) is not None:
        facts["failing_since"] = datetime.fromtimestamp(since, UTC).isoformat()
    waiting = Rollback.objects.filter(deployment=deployment_id).exclude(state__in=list(Rollback.ENDS)).first()
    if waiting is not None:
        if trigger["critical"] and not waiting.critical and waiting.state in ("raised", "assessed"):
            escalate(waiting.pk, cause=trigger["key"], note=note, facts=facts)
        return
    if Deployment.objects.filter(pk=deployment_id, state__in=IN_TIME).exists():
        raise_(deployment_id, cause=trigger["key"], critical=trigger["critical"], note=note, facts=facts)
