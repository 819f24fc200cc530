"""A deployment inside its window as a bar: elapsed and planned time, the rollback decision time, and the end."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from releases.gates.durations import durations
from releases.models import Deployment, Step
from releases.queries.decision_request import last_rollback_start

MOVING = ("queued", "running", "verifying", "awaiting_decision", "stopping")


@dataclass(frozen=True)
class WindowBar:
    """Places in per cent of the window; `late`: as planned it ends after the decision time."""

    begins: datetime
    ends: datetime
    decide_by: datetime
    planned_end: datetime
    elapsed: float
    planned: float
    decide: float
    now: float | None
    late: bool
    basis: str


def window_bar(deployment: Deployment, steps: list[Step], moment: datetime) -> WindowBar | None:
    """Return the bar of a deployment that has a window and a scheduled start; None otherwise."""
    begins = deployment.started_at or deployment.scheduled_start_at
    decide_by = last_rollback_start(deployment)
    if (
        begins is None
        or deployment.scheduled_end_at is None
        or decide_by is None
        or deployment.scheduled_end_at <= begins
    ):
        return None
    whole = (deployment.scheduled_end_at - begins).total_seconds()

    def place(at: datetime) -> float:
        return round(100 * min(max((at - begins).total_seconds() / whole, 0.0), 1.0), 2)

    out = [s for s in steps if s.phase in (Step.Phase.DEPLOYMENT, Step.Phase.VERIFICATION)]
    lasts = durations(deployment.release, deployment.environment_id)
    rest = sum(lasts.of(s) for s in out if s.state not in Step.ENDS)
    if not steps:
        rest = lasts.needed(deployment.release.step_plan, ("deployment", "verification")).seconds
    moving = deployment.state in MOVING
    over = [s.ended_at for s in steps if s.ended_at is not None]
    until = moment if moving and deployment.started_at else (deployment.ended_at or max(over, default=begins))
    planned_end = max(until, begins) + timedelta(
        seconds=rest if moving or deployment.state in Deployment.WAITING_TO_RUN else 0
    )
    return WindowBar(
        begins=begins,
        ends=deployment.scheduled_end_at,
        decide_by=decide_by,
        planned_end=planned_end,
        elapsed=place(until),
        planned=round(place(planned_end) - place(until), 2),
        decide=place(decide_by),
        now=place(moment) if begins <= moment <= deployment.scheduled_end_at else None,
        late=planned_end > decide_by,
        basis=lasts.needed(deployment.release.step_plan).basis,
    )
