"""What the scheduler finds to do: each function looks once in PostgreSQL and acts or wakes. Lost wake-ups end here."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import Error
from django.db.models import F, Q

from audit.refusals import GateClosed, Refused
from releases import dispatch
from releases.actions.consent.decide import lapse_stale
from releases.actions.deployment.queue import miss, put_off, queue
from releases.actions.deployment.stopped import stopped
from releases.actions.release.observe import observe
from releases.actions.watch.sample import advance, end_due
from releases.models import Deployment, Rollback, Step, Watch

log = logging.getLogger(__name__)


def due_deployments(moment: datetime) -> None:
    """Miss what is past its window; queue what is due, its gates asked anew; put off what they hold."""
    waiting = Deployment.objects.filter(state__in=["scheduled", "queued"])
    for deployment in waiting.filter(window_end__lte=moment):
        miss(deployment.pk)
    due = Deployment.objects.filter(
        Q(not_before=None) | Q(not_before__lte=moment), state="scheduled", scheduled_for__lte=moment
    )
    for pk, release_id in due.order_by("scheduled_for").values_list("pk", "release_id"):
        try:
            observe(release_id)
            queue(pk)
        except GateClosed as closed:
            put_off(pk, tuple(str(reason) for reason in closed.reasons))
        except Refused as refused:
            log.warning("deployment %s: %s", pk, refused)
        except Error:
            raise
        except Exception:
            # One that cannot be queued must not keep those that are due after it.
            log.exception("deployment %s cannot be queued", pk)


def idle_steps(moment: datetime) -> None:
    """Wake workers for ready steps that nobody took, and for running ones whose lease has ended."""
    late = moment - timedelta(seconds=2 * settings.SWEEP)
    lost = Step.objects.filter(
        Q(state="ready", offered_at__lt=late) | Q(state="running", lease_until__lt=moment)
    ).values_list("pk", "deployment__environment__slug")
    for pk, slug in lost:
        dispatch.wake(slug, "run_step", step_id=pk)


def stopping_deployments(moment: datetime) -> None:
    """End a stop whose worker is gone: nothing of it runs once the lease has ended."""
    gone = Deployment.objects.filter(state="stopping").exclude(steps__state="running", steps__lease_until__gt=moment)
    for pk in gone.values_list("pk", flat=True):
        stopped(pk)


def waiting_rollbacks(moment: datetime) -> None:
    """Wake workers for alarms that were not prepared, and for authorised ways back that have not begun."""
    late = moment - timedelta(seconds=2 * settings.SWEEP)
    waiting = Rollback.objects.filter(
        Q(state="raised", facts__rows_total__isnull=True) | Q(state="authorised"), raised_at__lt=late
    ).values_list("pk", "deployment__environment__slug")
    for pk, slug in waiting:
        dispatch.wake(slug, "prepare_rollback", rollback_id=pk)


def due_samples(moment: datetime) -> None:
    """Wake the sampling worker for each watch that is due, and end those whose time is over."""
    for watch in Watch.objects.filter(ended_at=None, next_at__lte=moment):
        due = watch.next_at
        if due is None:
            continue
        if moment >= watch.began_at + timedelta(seconds=watch.duration_seconds) and watch.paused_at is None:
            end_due(watch.pk)
            continue
        advance(watch.pk)
        dispatch.wake("samples", "take_sample", watch_id=watch.pk, due=due.isoformat())


def stale_rounds(moment: datetime) -> None:
    """Lapse rounds of consent whose content or window is no longer what was consented to."""
    lapse_stale()


ROUNDS = (due_deployments, idle_steps, stopping_deployments, waiting_rollbacks, due_samples, stale_rounds)


def sweep(moment: datetime) -> None:
    """Do one round; what fails in one part does not keep the others from their turn."""
    for part in ROUNDS:
        try:
            part(moment)
        except Error:
            raise
        except Exception:
            log.exception("sweep: %s", part.__name__)


def next_due() -> datetime | None:
    """Return when the next scheduled run or sample is due."""
    run = (
        Deployment.objects.filter(state="scheduled")
        .annotate(at=F("scheduled_for"))
        .filter(Q(not_before=None) | Q(not_before__lte=F("scheduled_for")))
        .order_by("at")
        .values_list("at", flat=True)
        .first()
    )
    watch = (
        Watch.objects.filter(ended_at=None, next_at__isnull=False).order_by("next_at").values_list("next_at", flat=True)
    ).first()
    return min(filter(None, [run, watch]), default=None)
