"""Spans of deployments for a collector of OpenTelemetry: one trace for each deployment, whichever process did the work.

Nothing is imported and nothing is done without the extra `otel` and an endpoint in the environment. The ids follow from
the rows, so that each process knows the parent of what it did; spans are made once their end is known.
"""

import functools
import logging
import os
import socket
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from django.conf import settings

from audit.operation import Operation, committed
from audit.trace import about
from releases.dispatch import microseconds
from releases.models import Deployment, Rollback, Step, StepAttempt

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = logging.getLogger(__name__)
# The spans that others have as their parent.
REQUEST, RUN = "request", "run"
# The outcome of an attempt, and the state in which a deployment ends, as the semantic conventions name results.
RESULTS = {"succeeded": "success", "failed": "failure", "stopped": "cancellation", "cancelled": "cancellation"}
RESULTS |= {"rolled_back": "failure", "resolved": "failure", "unknown": "error", "worker_lost": "error"}
FAILED = ("failure", "error")
type Times = tuple[datetime, datetime]
type Facts = Mapping[str, str | int]
_ids: ContextVar[tuple[int, int]] = ContextVar("ringi_span", default=(0, 0))


def wanted() -> bool:
    """Tell whether the environment names a collector."""
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    own = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return not off and bool(own or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"))


def begin() -> None:
    """Record the operations of this process from now on, where a collector is named."""
    if wanted():
        committed.append(record_operation)


@functools.cache
def tracer_provider() -> "TracerProvider | None":
    """Return what makes spans in this process, by the standard variables; None where no traces are sent."""
    if record_operation not in committed:
        return None
    try:
        return _made()
    except ImportError:
        log.warning("a collector is named, and the extra otel is not installed: no traces are sent")
    except Exception:  # noqa: BLE001  such as a variable that it cannot read
        log.warning("no traces are sent", exc_info=True)
    return None


def _made() -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import IdGenerator

    class Ids(IdGenerator):
        def generate_trace_id(self) -> int:
            return _ids.get()[0]

        def generate_span_id(self) -> int:
            return _ids.get()[1]

    named = {"service.namespace": "ringi", "service.instance.id": f"{socket.gethostname()}:{os.getpid()}"}
    if not (os.environ.get("OTEL_SERVICE_NAME") or "service.name" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")):
        named["service.name"] = f"ringi-{settings.PROCESS}".replace("ringi-ringi", "ringi")
    provider = TracerProvider(resource=Resource.create(named), id_generator=Ids())
    # A thread of its own sends batches from a bounded queue: what no collector takes is dropped, and nothing waits.
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _harmless[**P](call: Callable[P, None]) -> Callable[P, None]:
    """Return a call that only logs what goes wrong: a span is worth no deployment."""

    @functools.wraps(call)
    def called(*args: P.args, **given: P.kwargs) -> None:
        try:
            if tracer_provider() is not None:
                call(*args, **given)
        except Exception:  # noqa: BLE001  whatever it is, the work goes on
            log.warning("a span could not be made", exc_info=True)

    return called


def _trace_of(deployment: Deployment) -> int:
    """Return the id of a deployment's trace. The time of its row distinguishes it from those of other databases."""
    text = f"ringi deployment {deployment.pk} {microseconds(deployment.created_at)}"
    return int.from_bytes(sha256(text.encode()).digest()[:16])


def _span_of(deployment: Deployment, name: str) -> int:
    return int.from_bytes(sha256(f"{_trace_of(deployment):032x} {name}".encode()).digest()[:8])


def _url(deployment: Deployment) -> str:
    return f"{settings.BASE_URL.rstrip('/')}/admin/deployment/{deployment.pk}/"


def _name_of(step: Step, fencing_token: int) -> str:
    return f"step {step.ordinal} {fencing_token}"


def ids(deployment: Deployment, name: str = "") -> dict[str, str]:
    """Return the ids of a deployment's trace, and of a span of it, for lines of the log; none where none is made."""
    if tracer_provider() is None:
        return {}
    span = {"span_id": f"{_span_of(deployment, name):016x}"} if name else {}
    return {"trace_id": f"{_trace_of(deployment):032x}", **span}


def ids_of_attempt(step: Step, fencing_token: int) -> dict[str, str]:
    """Return the same for one attempt of a step."""
    return ids(step.deployment, _name_of(step, fencing_token))


def traceparent(step: Step, fencing_token: int) -> str:
    """Return the header of W3C that lets another system join the trace below an attempt; empty where none is made."""
    known = ids_of_attempt(step, fencing_token)
    return f"00-{known['trace_id']}-{known['span_id']}-{_flags(step.deployment):02x}" if known else ""


def _flags(deployment: Deployment) -> int:
    """Return 1 where the sampler takes this trace: each process decides alike, by the trace's id."""
    from opentelemetry.sdk.trace.sampling import Decision

    provider = tracer_provider()
    assert provider is not None
    return int(provider.sampler.should_sample(None, _trace_of(deployment), RUN).decision is Decision.RECORD_AND_SAMPLE)


def _emit(
    deployment: Deployment, name: str, own: str, parent: str, times: Times, facts: Facts, failed: str = "", **more: Any
) -> None:
    """Make one span. own, parent: names by which `_span_of` finds ids; failed: the class of error that ended it.

    more: `links`, names of spans of the same trace; `events`, each with its time and attributes.
    """
    from opentelemetry import trace
    from opentelemetry.context import Context

    provider, trace_id, flags = tracer_provider(), _trace_of(deployment), _flags(deployment)
    assert provider is not None

    def known(trace_id: int, span: int, flags: int) -> trace.SpanContext:
        return trace.SpanContext(trace_id, span, is_remote=True, trace_flags=trace.TraceFlags(flags))

    release, application = deployment.release, deployment.application.slug
    given = {
        "cicd.pipeline.name": application,
        "cicd.pipeline.run.id": str(deployment.pk),
        "cicd.pipeline.run.url.full": _url(deployment),
        "deployment.id": str(deployment.pk),
        "deployment.name": f"{application} {release.version}",
        "deployment.environment.name": deployment.environment.slug,
        "vcs.ref.head.name": release.tag,
        "vcs.ref.head.type": "tag",
        "vcs.ref.head.revision": release.commit,
        "error.type": failed,
        **facts,
    }
    links = [trace.Link(known(trace_id, _span_of(deployment, link), flags)) for link in more.get("links", ())]
    if caller := about().get("traceparent", ""):
        links.append(trace.Link(known(*(int(part, 16) for part in caller.split("-")[1:]))))
    above = trace.NonRecordingSpan(known(trace_id, _span_of(deployment, parent), flags))
    token = _ids.set((trace_id, _span_of(deployment, own)))
    span = provider.get_tracer("ringi").start_span(
        name,
        context=trace.set_span_in_context(above, Context()) if parent else Context(),
        kind=trace.SpanKind.SERVER if own in (REQUEST, RUN) else trace.SpanKind.INTERNAL,
        attributes={key: value for key, value in given.items() if value},
        links=links,
        start_time=1000 * microseconds(times[0]),
    )
    _ids.reset(token)
    for event, at, own_facts in more.get("events", ()):
        span.add_event(event, own_facts, timestamp=1000 * microseconds(at))
    if failed:
        span.set_status(trace.StatusCode.ERROR)
    span.end(1000 * microseconds(times[1]))


@_harmless
def record_operation(op: Operation) -> None:
    """Record what an operation did to deployments; their runs and rollbacks too, where it ended them."""
    rows, name = [*op.rows.values(), *op.created], op.notified_as or op.event
    back = [row for row in rows if isinstance(row, Rollback)]
    deployments = {row.deployment_id: row.deployment for row in back}
    deployments |= {row.pk: row for row in rows if isinstance(row, Deployment)}
    for row in deployments.values():
        # The attempts of steps have spans of their own.
        if not (name.startswith("step:") and op.actor.kind == "worker"):
            own, parent = f"operation {op.id}", RUN if row.started_at else REQUEST
            own, parent = (REQUEST, "") if op.event == "deployment:request" else (own, parent)
            facts = {"ringi.operation": op.event, "ringi.actor.kind": op.actor.kind}
            _emit(row, name, own, parent, (op.at, op.now()), facts)
        if row.started_at and row.ended_at and not op.original.get((Deployment, row.pk), {}).get("ended_at"):
            _record_run(row, (row.started_at, row.ended_at))
    for rollback in back:
        key = (Rollback, rollback.pk)
        restored = rollback.restored_at and not op.original.get(key, {}).get("restored_at")
        manually = name == "rollback:complete_manually" and rollback.state != op.states[key]
        if rollback.started_at and (restored or manually):
            facts, times = {"ringi.rollback": str(rollback.pk)}, (rollback.started_at, op.now())
            failed, own = "completed_manually" if manually else "", f"rollback {rollback.pk}"
            _emit(rollback.deployment, "rollback", own, REQUEST, times, facts, failed, links=[RUN])


def _record_run(deployment: Deployment, times: Times) -> None:
    events = []
    for period in deployment.monitoring_periods.order_by("pk"):
        facts = {"ringi.monitoring.purpose": period.purpose}
        events.append(("monitoring:start", period.started_at, facts))
        if period.ended_at is not None:
            events.append(("monitoring:end", period.ended_at, {**facts, "ringi.monitoring.result": period.result}))
    result = RESULTS.get(deployment.state, "error")
    facts = {"cicd.pipeline.action.name": "RUN", "cicd.pipeline.result": result, "deployment.status": deployment.state}
    failed = deployment.state if result in FAILED else ""
    _emit(deployment, f"RUN {deployment.application.slug}", RUN, REQUEST, times, facts, failed, events=events)


@_harmless
def record_attempt(step: Step, fencing_token: int) -> None:
    """Record an attempt of a step that has an outcome, and the one before it where that one lost its worker."""
    deployment, parent = step.deployment, RUN
    for row in StepAttempt.objects.filter(step=step, fencing_token__in=(fencing_token - 1, fencing_token)):
        if not row.ended_at or (row.fencing_token == fencing_token) == (row.outcome == "worker_lost"):
            continue
        if step.phase.startswith("rollback"):
            parent = f"rollback {deployment.rollbacks.filter(started_at__lte=row.started_at).latest('started_at').pk}"
        result = RESULTS.get(row.outcome, "skip")
        kind = f"check {step.parameters['check']}" if step.step_type == "check" else step.step_type
        facts = {
            "cicd.pipeline.task.name": kind,
            "cicd.pipeline.task.type": "test" if "verification" in step.phase else "deploy",
            "cicd.pipeline.task.run.id": f"{step.ordinal}/{row.fencing_token}",
            "cicd.pipeline.task.run.url.full": _url(deployment),
            "cicd.pipeline.task.run.result": result,
            "cicd.worker.name": row.worker,
            "ringi.step.phase": step.phase,
            "ringi.step.attempt": row.fencing_token,
            "ringi.step.outcome": row.outcome,
            "ringi.target": step.target.name if step.target is not None else "",
        }
        own, failed = _name_of(step, row.fencing_token), row.outcome if result in FAILED else ""
        _emit(deployment, kind, own, parent, (row.started_at, row.ended_at), facts, failed)
