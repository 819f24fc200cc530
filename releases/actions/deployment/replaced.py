"""What was watched in an environment until a newer run took its place there: its watch is over, with all that this brings."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Q

from audit.change import Act
from audit.clock import now
from releases.actions.deployment.verified import completed
from releases.models import Deployment, MonitoringPeriod, Release, Rollback


@dataclass(frozen=True)
class Replaced:
    """Keys of the runs that are watched, with those of their releases, and of the ways back that are."""

    runs: tuple[tuple[int, int], ...]
    rollbacks: tuple[int, ...]

    @property
    def targets(self) -> list[tuple[type[Any], int]]:
        """Return the rows that an act must hold which ends them."""
        found: list[tuple[type[Any], int]] = [(Rollback, pk) for pk in self.rollbacks]
        return found + [target for run, release in self.runs for target in ((Deployment, run), (Release, release))]


def replaced_by(deployment: Deployment) -> Replaced:
    """Return what is watched where a run goes, itself left out; not what waits for a person's verdict, which stays his."""
    there = Deployment.objects.filter(application=deployment.application_id, environment=deployment.environment_id)
    others, waits = (
        there.exclude(pk=deployment.pk),
        Q(monitoring_periods__result="inconclusive", monitoring_periods__ended_at=None),
    )
    runs = others.filter(state="monitoring").exclude(waits).values_list("pk", "release")
    rollbacks = Rollback.objects.filter(deployment__in=others, state="monitoring").values_list("pk", flat=True)
    return Replaced(tuple(runs), tuple(rollbacks))


def cut_short(act: Act, replaced: Replaced, *, known: bool = True) -> None:
    """End the watches of what a newer run has taken the place of, inside an open door.

    known: it is known what lies there now; else nobody is told that the earlier run has ended well. With an alarm that is
    still open its release has failed.
    """
    over = Q(deployment__in=[pk for pk, _release in replaced.runs]) | Q(rollback__in=replaced.rollbacks)
    for watch in (
        MonitoringPeriod.objects.select_for_update(of=("self",), no_key=True).filter(over, ended_at=None).order_by("pk")
    ):
        watch.ended_at, watch.result, watch.next_at = now(), "superseded", None
        watch.save()
    for pk, release_pk in replaced.runs:
        cut, release = act.get(Deployment, pk), act.get(Release, release_pk)
        cut.supersede()
        cut.ended_at = now()
        if not cut.rollbacks.exclude(state__in=Rollback.ENDS).exists():
            completed(release, cut)
            if known:
                act.tell_also("deployment:succeed", cut)
        elif cut.environment.tier == "production" and release.state == "monitoring":
            release.fail()
    for pk in replaced.rollbacks:
        act.get(Rollback, pk).start_reporting()
