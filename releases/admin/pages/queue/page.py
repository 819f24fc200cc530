"""The queues and their workers: counts only, without buttons."""

from typing import Any

import django_rq
from django.http import HttpRequest, HttpResponse
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext, gettext as _
from redis.exceptions import RedisError

from audit.changes import ANYTHING
from audit.models import Verification
from environments.admin.rights import page, shown_to
from releases.admin.components.formatting import show, when
from releases.admin.components.live import updates
from releases.liveness import listeners, unresponsive_components
from releases.models import NotificationChannel, PollFailure, Step


def _queues() -> tuple[list[dict[str, Any]], bool]:
    """Return each queue with its counts, and whether the server answers."""
    rows = []
    try:
        for name, workers in listeners().items():
            queue = django_rq.get_queue(name)
            # RQ's own clean-up executes what failed jobs name, here in the web process.
            rows.append(
                {
                    "name": name,
                    "waiting": queue.count,
                    "started": queue.started_job_registry.get_job_count(cleanup=False),
                    "failed": queue.failed_job_registry.get_job_count(cleanup=False),
                    "workers": [(one, state, parse_datetime(seen)) for one, state, seen in workers],
                }
            )
    except RedisError:
        return [], False
    return rows, True


def unresponsive_lines() -> list[tuple[str, str]]:
    """Return (type, what it means and what to do) of everything that is unresponsive now."""
    words = {
        "scheduler": _(
            "The scheduler is unresponsive: no new deployment starts and no step is reclaimed. Restart the scheduler."
        ),
        "ledger_signer": _(
            "The ledger signer is unresponsive: events are recorded but not signed. Restart the ledger signer, "
            "or find out why it refuses."
        ),
        "queue": _("The queue does not answer. Deployments continue within seconds of its return."),
        "ledger": _("The ledger has not been verified for hours, or not reconciled for days. See the scheduler's log."),
    }
    found = unresponsive_components()
    if found and (row := Verification.objects.filter(pk=dict(found).get("ledger") or "0").first()):
        words["ledger"] = _ledger_line(row)
    nobody = _("No worker serves the queue “%(queue)s”, and the work in this queue waits. Start a worker.")
    lines = [(kind, words.get(kind) or nobody % {"queue": name}) for kind, name in found if kind != "channel"]
    if len(lines) == len(found):
        return lines
    faulty = _(
        "The channel “%(channel)s” has accepted no notifications since %(since)s: %(because)s. Check the receiver."
    )
    for way in NotificationChannel.objects.exclude(unavailable_since=None).filter(disabled_at=None):
        because = str(way.unavailable_because)
        named = {"channel": way, "since": when(way.unavailable_since), "because": gettext(because)}
        lines.append(("channel", faulty % named))
    return lines


def _ledger_line(row: Verification) -> str:
    match row.result:
        case Verification.Result.FAILED:
            text = _(
                "The verification of the ledger failed: %(finding)s. Ringi refuses new deployments, schedules "
                "and approvals in protected environments until the ledger is repaired or two people have "
                "accepted the finding."
            )
        case Verification.Result.INCONCLUSIVE:
            text = _(
                "The ledger could not be verified: %(finding)s. Give the verification the public key of the "
                "ledger signer."
            )
        case _passed:
            text = _("Evidence was altered after it was recorded. %(finding)s.")
    return text % {"finding": row.words}


@page
def queues(request: HttpRequest) -> HttpResponse:
    """Show queues and workers, and the counts in PostgreSQL, which are authoritative."""
    rows, reached = _queues()
    live = Step.objects.filter(state__in=["ready", "running"])
    live = shown_to(request, live).select_related("deployment__environment", "deployment__release__application")[:50]
    suspended = shown_to(request, PollFailure.objects.exclude(suspended_at=None)).order_by("pk")[:50]
    return show(
        request,
        "pages/queue/queues.html",
        _("Queues"),
        updates=updates(request.user, ANYTHING),
        queues=rows,
        reached=reached,
        live=live,
        suspended=suspended,
    )
