"""Ends the monitoring of an environment's earlier deployments when a newer one replaces them, with all that follows."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Q

from audit.clock import now
from audit.operation import Operation
from releases.models import Deployment, MonitoringPeriod, Release, Rollback
from releases.operations.deployment.completion import complete_release


@dataclass(frozen=True)
class Superseded:
    """Keys of the monitored deployments, of their releases, and of the monitored rollbacks."""

    deployments: tuple[tuple[int, int], ...]
    rollbacks: tuple[int, ...]

    @property
    def targets(self) -> list[tuple[type[Any], int]]:
        """Return the rows that an operation must lock to end them."""
        found: list[tuple[type[Any], int]] = [(Rollback, pk) for pk in self.rollbacks]
        return found + [
            target
            for deployment, release in self.deployments
            for target in ((Deployment, deployment), (Release, release))
        ]


def superseded_by(deployment: Deployment) -> Superseded:
    """Return what is monitored where a deployment goes, without itself and without what waits for a person's result."""
    there = Deployment.objects.filter(application=deployment.application_id, environment=deployment.environment_id)
    others, waits = (
        there.exclude(pk=deployment.pk),
        Q(monitoring_periods__result="inconclusive", monitoring_periods__ended_at=None),
    )
    deployments = others.filter(state="monitoring").exclude(waits).values_list("pk", "release")
    rollbacks = Rollback.objects.filter(deployment__in=others, state="monitoring").values_list("pk", flat=True)
    return Superseded(tuple(deployments), tuple(rollbacks))


def supersede(op: Operation, replaced: Superseded, *, known: bool = True) -> None:
    """End the monitoring that a newer deployment supersedes, inside an open operation.

    known: what lies on the target now is known; otherwise no notification says that the earlier deployment has ended
    well. With an alarm that is still open its release has failed.
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
