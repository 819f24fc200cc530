"""What was watched in an environment until a newer run took its place there: its watch is over, with all that this brings."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Q

from audit.clock import now
from audit.operation import Operation
from releases.models import Deployment, MonitoringPeriod, Release, Rollback
from releases.operations.deployment.completion import complete_release


@dataclass(frozen=True)
class Superseded:
    """Keys of the runs that are watched, with those of their releases, and of the rollbacks that are."""

    deployments: tuple[tuple[int, int], ...]
    rollbacks: tuple[int, ...]

    @property
    def targets(self) -> list[tuple[type[Any], int]]:
        """Return the rows that an operation must hold which ends them."""
        found: list[tuple[type[Any], int]] = [(Rollback, pk) for pk in self.rollbacks]
        return found + [
            target
            for deployment, release in self.deployments
            for target in ((Deployment, deployment), (Release, release))
        ]


def superseded_by(deployment: Deployment) -> Superseded:
    """Return what is watched where a run goes, itself left out; not what waits for a person's result, which stays his."""
    there = Deployment.objects.filter(application=deployment.application_id, environment=deployment.environment_id)
    others, waits = (
        there.exclude(pk=deployment.pk),
        Q(monitoring_periods__result="inconclusive", monitoring_periods__ended_at=None),
    )
    deployments = others.filter(state="monitoring").exclude(waits).values_list("pk", "release")
    rollbacks = Rollback.objects.filter(deployment__in=others, state="monitoring").values_list("pk", flat=True)
    return Superseded(tuple(deployments), tuple(rollbacks))


def supersede(op: Operation, replaced: Superseded, *, known: bool = True) -> None:
    """End the watches of what a newer run has taken the place of, inside an open operation.

    known: it is known what lies there now; else nobody is told that the earlier run has ended well. With an alarm that is
    still open its release has failed.
    """
    over = Q(deployment__in=[pk for pk, _release in replaced.deployments]) | Q(rollback__in=replaced.rollbacks)
    for monitoring in (
        MonitoringPeriod.objects.select_for_update(of=("self",), no_key=True).filter(over, ended_at=None).order_by("pk")
    ):
        monitoring.ended_at, monitoring.result, monitoring.next_at = now(), "superseded", None
        monitoring.save()
    for pk, release_pk in replaced.deployments:
        cut, release = op.get(Deployment, pk), op.get(Release, release_pk)
        cut.supersede()
        cut.ended_at = now()
        if not cut.rollbacks.exclude(state__in=Rollback.ENDS).exists():
            complete_release(release, cut)
            if known:
                op.add_event("deployment:succeed", cut)
        elif cut.environment.tier == "production" and release.state == "monitoring":
            release.fail()
    for pk in replaced.rollbacks:
        op.get(Rollback, pk).start_reporting()
