"""watch:sample (no act: a measured series), watch:end, watch:judge: looking at a target after a run (R7, B5)."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import connection
from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import Invalid, WrongState
from environments import access
from environments.models import Target
from releases.actions.rollback.decide import raise_
from releases.metrics import source
from releases.metrics.base import Reading
from releases.metrics.triggers import firing, judge
from releases.models import Deployment, Release, Rollback, Sample, Watch
from releases.steps.base import TargetSpec

SHARE_NEEDED = 0.95


def spec_of(target: Target) -> TargetSpec:
    """Return a target's row as the leaves take it."""
    return TargetSpec(target.application.slug, target.environment.slug, Path(target.root), target.settings)


def sample(watch_id: int, *, due: datetime) -> Sample | None:
    """Look once at the target, keep it, and raise the alarm when a trigger holds k of its last n samples.

    No transaction is open while the target is asked. A second look for the same due time is dropped.
    """
    watch = Watch.objects.select_related("deployment__environment").filter(pk=watch_id, ended_at=None).first()
    if watch is None or watch.paused_at is not None:
        return None
    deployment = watch.deployment
    target = Target.objects.select_related("application", "environment").get(
        application=deployment.application, environment=deployment.environment
    )
    kind = source("prometheus_text")
    parameters = kind.parameters()
    reading = kind.read(spec_of(target), parameters)
    last = Sample.objects.filter(watch=watch, up=True).order_by("-pk").first()
    earlier = Reading(last.at, True, last.raw) if last is not None else None
    values = kind.derive(earlier, reading, parameters)
    kept, made = Sample.objects.get_or_create(
        watch=watch,
        due_at=due,
        defaults={
            "at": reading.at,
            "up": reading.up,
            "raw": reading.values,
            "values": judge(watch.triggers, values, watch.baseline),
            "error": reading.error[:300],
        },
    )
    if made:
        _react(watch)
    return kept if made else None


def _react(watch: Watch) -> None:
    most = max((t["n"] for t in watch.triggers), default=0)
    recent = list(Sample.objects.filter(watch=watch).order_by("-pk").values_list("values", flat=True)[:most])[::-1]
    trigger = firing(watch.triggers, recent)
    if trigger is None or watch.rollback_id is not None:
        return
    if Rollback.objects.filter(deployment=watch.deployment).exclude(state__in=list(Rollback.ENDS)).exists():
        return
    raise_(
        watch.deployment_id,
        cause=trigger["key"],
        critical=trigger["critical"],
        note=_("%(k)d of %(n)d samples over the limit") % {"k": trigger["k"], "n": trigger["n"]},
        facts={"trigger": trigger, "samples": recent},
    )


def advance(watch_id: int) -> datetime | None:
    """Set when the next sample is due, on the grid of the watch; no act, the column is not governed.

    What a short stall has missed is caught up at once; after more than three intervals the grid goes on from now.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE releases_watch SET next_at = greatest(next_at + make_interval(secs => interval_seconds),"
            " clock_timestamp() - make_interval(secs => 2 * interval_seconds))"
            " WHERE id = %s AND ended_at IS NULL RETURNING next_at",
            [watch_id],
        )
        row = cursor.fetchone()
    return row[0] if row else None


def completeness(watch: Watch) -> dict[str, float]:
    """Return metric → share of the expected samples that have a value (0..1); no sample is no value.

    The first look only begins the counting, so that one less than the grid has is expected.
    """
    expected = max(1, int(watch.duration_seconds / watch.interval_seconds) - 1)
    shares: dict[str, float] = {}
    rows = list(watch.samples.values_list("values", flat=True))
    for name in {t["metric"] for t in watch.triggers}:
        counted = sum(1 for values in rows if values.get(name, {}).get("verdict") in ("pass", "fail"))
        shares[name] = min(1.0, counted / expected)
    return shares


def end_due(watch_id: int) -> str:
    """End a watch whose time is over: healthy with enough samples, else it waits for a named person's verdict."""
    peek = Watch.objects.get(pk=watch_id)
    if now() < peek.began_at + timedelta(seconds=peek.duration_seconds) or peek.verdict:
        return peek.verdict
    targets: list[tuple[Any, int]] = [
        (Watch, watch_id),
        (Deployment, peek.deployment_id),
        (Release, peek.deployment.release_id),
    ]
    if peek.rollback_id is not None:
        targets.append((Rollback, peek.rollback_id))
    with change("watch:end", *targets) as act:
        watch = act.get(Watch)
        if watch.verdict:
            return watch.verdict
        shares = completeness(watch)
        act.details["completeness"] = {name: f"{share:.4f}" for name, share in shares.items()}
        watch.next_at = None
        if min(shares.values(), default=0.0) < SHARE_NEEDED:
            watch.verdict = "insufficient"
            return watch.verdict
        watch.verdict, watch.ended_at = "healthy", now()
        _close(act.get(Deployment), act.get(Release), act.rows.get((Rollback, peek.rollback_id)))
        return watch.verdict


def judge_watch(watch_id: int, *, verdict: str, reason: str) -> Watch:
    """Give a named person's verdict on a watch that had too few samples."""
    peek = Watch.objects.get(pk=watch_id)
    targets: list[tuple[Any, int]] = [
        (Watch, watch_id),
        (Deployment, peek.deployment_id),
        (Release, peek.deployment.release_id),
    ]
    if peek.rollback_id is not None:
        targets.append((Rollback, peek.rollback_id))
    with change("watch:judge", *targets, reason=reason, sign=True) as act:
        watch, deployment = act.get(Watch), act.get(Deployment)
        account = access.require("verify", deployment.environment)
        if watch.verdict != "insufficient":
            raise WrongState(_("This watch does not wait for a verdict."))
        if verdict != "healthy" or not reason.strip():
            raise Invalid(_("Say that it is healthy and why; else raise a rollback."))
        watch.verdict, watch.ended_at, watch.judged_by = "judged_healthy", now(), account
        act.signature("judge")
        _close(deployment, act.get(Release), act.rows.get((Rollback, peek.rollback_id)))
    return watch


def _close(deployment: Deployment, release: Release, rollback: Any) -> None:
    if rollback is not None:
        if rollback.state == "monitoring":
            rollback.report()
        return
    if deployment.state == "monitoring":
        deployment.succeed()
        deployment.ended_at = now()
    if deployment.environment.tier == "production" and release.state == "monitoring":
        release.complete()
        for document in release.documents.filter(state="ready"):
            document.publish()
            document.save()
