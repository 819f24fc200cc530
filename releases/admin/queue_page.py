"""What waits on the queues and which workers listen: counts only, and nothing to press."""

from __future__ import annotations

from typing import Any

import django_rq
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext as _
from redis.exceptions import RedisError
from rq import Worker

from environments.admin.rights import page
from releases.admin.shown import show, when
from releases.models import MessageChannel, PollFailure, Step
from releases.silence import silences


def _queues() -> tuple[list[dict[str, Any]], bool]:
    """Return each queue with its counts, and whether the server answers."""
    rows = []
    try:
        workers = Worker.all(connection=django_rq.get_connection(settings.ENVIRONMENT_QUEUES[0]))
        for name in settings.ENVIRONMENT_QUEUES:
            queue = django_rq.get_queue(name)
            mine = [worker for worker in workers if name in worker.queue_names()]
            rows.append(
                {
                    "name": name,
                    "waiting": queue.count,
                    "started": queue.started_job_registry.count,
                    "failed": queue.failed_job_registry.count,
                    "workers": [(worker.name, worker.get_state(), worker.last_heartbeat) for worker in mine],
                }
            )
    except RedisError:
        return [], False
    return rows, True


def silent_lines() -> list[tuple[str, str]]:
    """Return (kind, what it means and what to do) of what is silent now."""
    words = {
        "scheduler": _("The scheduler is silent: nothing new begins and nothing is taken over. Start it again."),
        "sealer": _(
            "The sealer is silent: what happens is recorded and not signed. Start it again, or see why it refuses."
        ),
        "queue": _("The queue does not answer. Runs go on within seconds of its return."),
    }
    nobody = _("No worker takes from the queue “%(queue)s”: what is due there waits. Start one.")
    found = silences()
    lines = [(kind, words.get(kind) or nobody % {"queue": name}) for kind, name in found if kind != "channel"]
    if len(lines) == len(found):
        return lines
    faulty = _(
        "The channel “%(channel)s” has taken no notifications since %(since)s: %(because)s. See to the receiver."
    )
    for way in MessageChannel.objects.exclude(unavailable_since=None).filter(disabled_at=None):
        because = str(way.unavailable_because)
        named = {"channel": way, "since": when(way.unavailable_since), "because": gettext(because)}
        lines.append(("channel", faulty % named))
    return lines


@page
def queues(request: HttpRequest) -> HttpResponse:
    """Show queues and workers, and beside them what PostgreSQL knows, which is what counts."""
    rows, reached = _queues()
    live = Step.objects.filter(state__in=["ready", "running"])
    live = live.select_related("deployment__environment", "deployment__release__application")[:50]
    suspended = PollFailure.objects.exclude(suspended_at=None).order_by("pk")[:50]
    return show(request, "ringi/queues.html", _("Queues"), queues=rows, reached=reached, live=live, suspended=suspended)
