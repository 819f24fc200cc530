"""What probes and monitoring ask: does the database answer, is anything silent? Needs neither scheduler nor workers."""

from __future__ import annotations

import contextlib
import hmac

import django_rq
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from redis.exceptions import RedisError

from releases.silence import Vitals, look, silences


def database_answers() -> bool:
    """Tell whether PostgreSQL answers."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return cursor.fetchone() == (1,)
    except DatabaseError:
        return False


def queue_answers() -> bool:
    """Tell whether the queue's server answers."""
    try:
        return bool(django_rq.get_connection(settings.ENVIRONMENT_QUEUES[0]).ping())
    except RedisError:
        return False


def _found() -> dict[str, bool]:
    """Return whether each part answers; without the database nobody knows of the others."""
    database, queue = database_answers(), queue_answers()
    silent = {"scheduler", "sealer", "workers"}
    if database:
        with contextlib.suppress(DatabaseError):  # a database that was not migrated yet
            silent = {kind for kind, _queue in silences()}
    found = {"database": database, "queue": queue}
    found |= {kind: kind not in silent for kind in ("scheduler", "sealer", "workers")}
    return {"ok": all(found.values()), **found}


@login_not_required
@never_cache
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """Answer 200 when the database answers: pages work then, and nothing is lost without the rest. Else 503."""
    found = _found()
    return JsonResponse(found, status=200 if found["database"] else 503)


@login_not_required
@never_cache
@require_safe
def health_of_work(request: HttpRequest) -> JsonResponse:
    """Answer 200 when everything is at work, else 503: for the probe that calls somebody."""
    found = _found()
    return JsonResponse(found, status=200 if found["ok"] else 503)


@login_not_required
@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer the same in figures, as Prometheus reads them, to whoever has the token; without one there is no page."""
    if not settings.METRICS_TOKEN:
        raise Http404
    given = request.headers.get("Authorization", "").encode()
    if not hmac.compare_digest(given, f"Bearer {settings.METRICS_TOKEN}".encode()):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    return HttpResponse(generate_latest(_figures(look())), content_type=CONTENT_TYPE_LATEST)


def _figures(vitals: Vitals) -> CollectorRegistry:
    registry = CollectorRegistry()

    def gauge(name: str, words: str, *labels: str) -> Gauge:
        return Gauge(f"ringi_{name}", words, labels, registry=registry)

    if vitals.scheduler is not None:
        gauge("scheduler_sign_age_seconds", "Since the acting scheduler was at work last.").set(vitals.scheduler)
    gauge("queue_up", "1 when Redis answers.").set(vitals.queue)
    waiting = gauge("queue_waiting", "Wake-ups that wait on a queue.", "queue")
    workers = gauge("queue_workers", "Workers that listen to a queue.", "queue")
    untaken = gauge("step_untaken_seconds", "Since a step waits that no worker took.", "queue")
    for name in settings.ENVIRONMENT_QUEUES if vitals.queue else ():
        waiting.labels(name).set(vitals.waiting[name])
        workers.labels(name).set(vitals.workers[name])
    for name, seconds in vitals.untaken.items():
        untaken.labels(name).set(seconds)
    gauge("message_untold_seconds", "Since a message waits that should have been told.").set(vitals.untold or 0)
    gauge("event_unsealed_seconds", "Since an event waits for a checkpoint.").set(vitals.unsealed or 0)
    words = "1 for what is silent: the scheduler, the sealer, the queue, the workers of a queue."
    silent = gauge("silent", words, "kind", "queue")
    for kind, name in vitals.silent():
        silent.labels(kind, name).set(1)
    return registry
