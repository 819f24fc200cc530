"""What a deployment does now: its running steps, the time that is left, and whom to call."""

from dataclasses import dataclass
from datetime import datetime

from releases.admin.pages.deployment.window_bar import MOVING, WindowBar
from releases.models import Deployment, Step, TeamMember
from releases.queries.decision_request import agreed_on_timeout

UNDER_WAY = ("running", "on_hold", "outcome_unknown", "failed")


@dataclass(frozen=True)
class Limit:
    """A time by which something must be: its name, itself, and the seconds that are left (less than 0: past)."""

    name: str
    at: datetime
    left: float


@dataclass(frozen=True)
class Present:
    """steps: with the seconds since each began. on_timeout: `roll_back` or `keep`, as approved."""

    steps: list[tuple[Step, float]]
    limits: list[Limit]
    team: list[TeamMember]
    on_timeout: str


def present_of(
    deployment: Deployment, steps: list[Step], bar: WindowBar | None, moment: datetime, *, sees: bool
) -> Present | None:
    """Return what a deployment does now; None before it is queued and after its end. sees: whether the reader may know
    the team's telephone numbers.
    """
    if deployment.state not in MOVING:
        return None
    begun = [(s, (moment - s.started_at).total_seconds()) for s in steps if s.state in UNDER_WAY and s.started_at]
    ends = (("decide", bar.decide_by), ("window", bar.ends)) if bar is not None else ()
    team = deployment.release.team_members.select_related("account") if sees else TeamMember.objects.none()
    return Present(
        begun,
        [Limit(name, at, (at - moment).total_seconds()) for name, at in ends],
        sorted(team, key=lambda entry: TeamMember.TeamRole.values.index(entry.team_role)),
        agreed_on_timeout(deployment),
    )
