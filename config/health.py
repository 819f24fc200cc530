"""Probes and metrics: whether the database answers and whether a process is unresponsive. They need neither scheduler
nor workers.
"""

import contextlib
import hmac
import sys
from collections.abc import Callable

import django_rq
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import loader
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from redis.exceptions import RedisError

from audit.isolated import is_unavailable
from audit.ledger.time_stamps import last_stamp
from config import served
from environments.code_version import code_version
from environments.queues import OWN_QUEUES
from releases.doctor.examination import READY, examine
from releases.doctor.finding import Result
from releases.liveness import Liveness, read_liveness, unresponsive_components
from releases.models import Deployment

DOWN, READ_ONLY = "database_down", "database_read_only"


def database_fault() -> str:
    """Return why pages do not work: DOWN, READ_ONLY, or "" when PostgreSQL answers and can be written."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('transaction_read_only')")
            return READ_ONLY if cursor.fetchone() == ("on",) else ""
    except DatabaseError:
        connection.close()
        return DOWN


def queue_answers() -> bool:
    """Tell whether the queue's server answers."""
    try:
        return bool(django_rq.get_connection(OWN_QUEUES[0]).ping())
    except RedisError:
        return False


def _found() -> dict[str, bool | str]:
    """Return whether each part answers, and why the database does not; without it the others are unknown."""
    fault, queue = database_fault(), queue_answers()
    unresponsive = {"scheduler", "ledger_signer", "workers", "ledger"}
    if fault != DOWN:
        with contextlib.suppress(DatabaseError):  # a database that was not migrated yet
            unresponsive = {kind for kind, _queue in unresponsive_components()}
    found = {"database": not fault, "queue": queue}
    found |= {kind: kind not in unresponsive for kind in ("scheduler", "ledger_signer", "workers", "ledger")}
    return {"ok": all(found.values()), **found, "reason": fault}


def health(request: HttpRequest) -> HttpResponse:
    """Answer 200 when the database can be read and written: pages work then, and nothing is lost without the rest. Else
    503.
    """
    found = _found()
    return JsonResponse(found, status=200 if found["database"] else 503)


def health_of_work(request: HttpRequest) -> HttpResponse:
    """Answer 200 when everything is at work, else 503: for the probe that pages somebody."""
    found = _found()
    return JsonResponse(found, status=200 if found["ok"] else 503)


def metrics(request: HttpRequest) -> HttpResponse:
    """Answer the same as metrics of Prometheus to a caller with the token; without a token setting there is no page."""
    if not settings.METRICS_TOKEN:
        return HttpResponse(status=404)
    given = request.headers.get("Authorization", "").encode()
    if not hmac.compare_digest(given, f"Bearer {settings.METRICS_TOKEN}".encode()):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    registry, fault = CollectorRegistry(), database_fault()
    Gauge("ringi_up", "1 when PostgreSQL answers and can be written.", registry=registry).set(not fault)
    build = Gauge("ringi_build_info", "1; the version of the code.", ["version"], registry=registry)
    build.labels(code_version()).set(1)
    if fault != DOWN:
        _gauges(registry, read_liveness())
    served.collect(registry)
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def ready(request: HttpRequest) -> HttpResponse:
    """Answer 200 when this process may serve: its role and schema are right and Redis answers; else 503."""
    seen = {check.__name__: examine((check,)).result != Result.FAILED for check in READY}
    found = {"ok": all(seen.values()), **seen}
    return JsonResponse(found, status=200 if found["ok"] else 503)


PROBES = {"/health/": health, "/health/ready/": ready, "/health/work/": health_of_work, "/metrics": metrics}


class ProbeMiddleware:
    """Answers probes before anything else: they come by address instead of name, without TLS, and when the database is
    down.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.answers = {path: never_cache(require_safe(view)) for path, view in PROBES.items()}

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a probe, or leave the request to the others."""
        view = self.answers.get(request.path)
        if view is None:
            return self.get_response(request)
        response = view(request)
        response._has_been_logged = True  # type: ignore[attr-defined]  # Django would call each 503 an error
        return response


def error_page(request: HttpRequest) -> HttpResponse:
    """Answer an uncaught exception: 503 when the database is the cause, else 500."""
    status = 503 if is_unavailable(sys.exception()) else 500
    response = HttpResponse(loader.get_template("500.html").render({"status": status}), status=status)
    if status == 503:
        response.headers["Retry-After"] = "30"
    return response


def _gauges(registry: CollectorRegistry, liveness: Liveness) -> None:
    def gauge(name: str, words: str, *labels: str) -> Gauge:
        return Gauge(f"ringi_{name}", words, labels, registry=registry)

    deployments = gauge("deployments", "Deployments that are not ended.", "environment", "state")
    under_way = Deployment.objects.filter(state__in=[*Deployment.WAITING_TO_RUN, *Deployment.OCCUPYING, "monitoring"])
    for place, state, count in under_way.order_by().values_list("environment__slug", "state").annotate(Count("pk")):
        deployments.labels(place, state).set(count)
    if liveness.scheduler is not None:
        gauge("scheduler_heartbeat_age_seconds", "Age of the heartbeat of the acting scheduler.").set(
            liveness.scheduler
        )
    gauge("queue_up", "1 when Redis answers.").set(liveness.queue)
    waiting = gauge("queue_length", "Wake-ups that wait on a queue.", "queue")
    workers = gauge("queue_workers", "Workers that listen to a queue.", "queue")
    unclaimed = gauge("step_unclaimed_seconds", "How long a step has waited for a worker.", "queue")
    for name in liveness.waiting if liveness.queue else ():
        waiting.labels(name).set(liveness.waiting[name])
        workers.labels(name).set(liveness.workers[name])
    for name, seconds in liveness.unclaimed.items():
        unclaimed.labels(name).set(seconds)
    gauge("notification_pending_seconds", "How long a notification has waited to be sent.").set(liveness.unsent or 0)
    gauge("event_unsigned_seconds", "How long an event has waited for a checkpoint.").set(liveness.ledger.unsigned or 0)
    if settings.TIME_STAMP_URL:
        stamp = last_stamp(connection)
        gauge("time_stamp_age_seconds", "Age of the last time stamp, or of the ledger without one.").set(stamp.age or 0)
        words = "1 while the time-stamping authority gives no time stamp that verifies."
        gauge("time_stamp_failed", words).set(bool(stamp.fault))
    if (last := liveness.ledger.last) is not None:
        gauge("ledger_verification_failed", "1 while a finding of a ledger verification is open.").set(
            liveness.ledger.fault is not None
        )
        gauge("ledger_altered_rows", "Rows that are not what the ledger says.").set(len(last.altered))
        gauge("ledger_verified_timestamp_seconds", "When a verification of the ledger ended last.").set(
            last.ended_at.timestamp()
        )
    words = "1 for each unresponsive component; name: its queue, channel or finding."
    unresponsive = gauge("unresponsive", words, "component", "name")
    for kind, name in liveness.unresponsive():
        unresponsive.labels(kind, name).set(1)
