"""How long steps take: the 90th percentile of earlier ones, or the procedure's estimate until there are enough of them.

Whether a deployment with its rollback fits into a window is computed with it, by gates, operations and pages. Read
only.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from environments.models import DeploymentTarget
from environments.targets.words import gettext as _
from releases.models import Release, Step
from releases.step_types import ONCE

# The least number of earlier deployments for a percentile, and how many of the latest count.
ENOUGH, LATEST = 5, 100
# Of an application in an environment, by phase, type and name of the step; only successful steps of workers.
PAST = """
SELECT s.phase, s.step_type, s.label_ja, count(DISTINCT s.deployment_id),
       percentile_cont(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM s.ended_at - s.started_at)::float8)
FROM releases_step s JOIN releases_stepattempt a ON a.step_id = s.id AND a.fencing_token = s.fencing_token AND a.outcome
  = 'succeeded'
WHERE s.state = 'succeeded' AND s.started_at IS NOT NULL AND s.ended_at IS NOT NULL AND s.deployment_id IN (
    SELECT id FROM releases_deployment WHERE environment_id = %s AND application_id = %s AND started_at IS NOT NULL
    ORDER BY started_at DESC LIMIT %s)
GROUP BY s.phase, s.step_type, s.label_ja
HAVING count(DISTINCT s.deployment_id) >= %s
"""
Name = tuple[str, str, str]


@dataclass(frozen=True)
class Needed:
    """A time in seconds, and how it was reckoned: how many steps by the percentile (of at least `runs` deployments
    each) and how many by the estimate.
    """

    seconds: float
    measured: int
    estimated: int
    deployments: int

    @property
    def basis(self) -> str:
        """Return which of the two was used, in the reader's language."""
        if not self.measured:
            return _("by the estimates of the procedure")
        if not self.estimated:
            return _("by the 90th percentile of at least %(runs)d earlier deployments") % {"runs": self.deployments}
        words = {"runs": self.deployments, "measured": self.measured, "all": self.measured + self.estimated}
        return (
            _(
                "%(measured)d of %(all)d steps by the 90th percentile of at least %(runs)d earlier "
                "deployments, the others by"
                " the estimates of the procedure"
            )
            % words
        )

    @property
    def sentence(self) -> str:
        """Return the duration in whole minutes, rounded up, with its basis."""
        words = {"minutes": -int(-self.seconds // 60), "basis": self.basis}
        return _("%(minutes)d minutes are needed, with the rollback (%(basis)s).") % words


@dataclass(frozen=True)
class Durations:
    """How long each step of an application takes in an environment: (phase, type, Japanese name) → seconds,
    deployments. targets: number by group, and of all (`each`).
    """

    past: Mapping[Name, tuple[float, int]] = field(default_factory=dict)
    targets: Mapping[str, int] = field(default_factory=dict)

    def times(self, step: Mapping[str, Any]) -> int:
        """Return on how many targets a step of a plan runs. They are reckoned one after the other: how many workers
        there will be is not known.
        """
        if step["step_type"] in ONCE or step.get("on") == "first":
            return 1
        return self.targets.get(step.get("on") or "each", 1)

    def seconds(self, phase: str, step: Mapping[str, Any]) -> float:
        """Return how long a step of a plan takes, in seconds."""
        found = self.past.get((phase, step["step_type"], step["label_ja"]))
        return found[0] if found is not None else float(step["estimate_seconds"])

    def of(self, step: Step) -> float:
        """Return how long a step of the journal takes, in seconds."""
        found = self.past.get((step.phase, step.step_type, step.label_ja))
        return found[0] if found is not None else step.estimate_seconds

    def needed(self, plan: Mapping[str, Iterable[Mapping[str, Any]]], phases: Iterable[str] | None = None) -> Needed:
        """Return how long the phases named of a plan take; without names the whole of it, forward and back."""
        steps = [(phase, step) for phase in (plan if phases is None else phases) for step in plan.get(phase, [])]
        deployments = [found[1] for p, s in steps if (found := self.past.get((p, s["step_type"], s["label_ja"])))]
        seconds = sum(self.seconds(phase, step) * self.times(step) for phase, step in steps)
        return Needed(seconds, len(deployments), len(steps) - len(deployments), min(deployments, default=0))


def durations(release: Release, environment_id: int) -> Durations:
    """Return how long the steps of a release's application take in an environment; read once for a release that is
    held.
    """
    held: dict[int, Durations] = release.__dict__.setdefault("_durations", {})
    if environment_id not in held:
        with connection.cursor() as cursor:
            cursor.execute(PAST, [environment_id, release.application_id, LATEST, ENOUGH])
            rows = cursor.fetchall()
        here = DeploymentTarget.objects.filter(application=release.application_id, environment=environment_id)
        groups = Counter(here.values_list("group", flat=True))
        held[environment_id] = Durations(
            {(p, kind, name): (seconds, deployments) for p, kind, name, deployments, seconds in rows},
            {**groups, "each": max(1, groups.total())},
        )
    return held[environment_id]
