"""A deployment is one trace at a collector: real processes, a real receiver of OTLP, and a collector that is gone."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from audit.actor import acting
from audit.operation import committed
from audit.trace import about, tracing
from config.development.processes import PROJECT
from releases import telemetry
from releases.jobs import prepare_rollback
from releases.models import Deployment, MonitoringPeriod, Rollback, StepAttempt
from releases.operations.deployment.enqueue import enqueue
from releases.operations.deployment.request import request
from releases.operations.deployment.schedule import cancel, schedule
from releases.operations.rollback.decide import raise_
from releases.queries.rollback_causes import NO_RESPONSE
from releases.worker.executor import run_from
from tests.chaos.running import Running
from tests.releases.collector import Collector, Span, collector
from tests.releases.gates.asking import alter, make, open_to_programs

from .conftest import TRUE, WORKER, first, plan, row
from .test_executor import lost_attempt

INSTALLED = importlib.util.find_spec("opentelemetry") is not None
needs_extra = pytest.mark.skipif(not INSTALLED, reason="the extra otel is not installed")
SECRET = "hidden-development"


def spans_of(found: list[Span], name: str) -> list[Span]:
    return [span for span in found if span.name == name]


def one(found: list[Span], name: str) -> Span:
    (span,) = spans_of(found, name)
    return span


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Return a function: let this process send spans as these variables say."""
    before = list(committed)

    def begin(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        telemetry.tracer_provider.cache_clear()
        telemetry.begin()

    yield begin
    if (provider := telemetry.tracer_provider()) is not None:
        provider.shutdown()
    committed[:] = before
    telemetry.tracer_provider.cache_clear()


@pytest.fixture
def sent(on: Callable[..., None]) -> Iterator[Collector]:
    """A collector to which this process sends its spans at once."""
    with collector() as running:
        on(OTEL_EXPORTER_OTLP_ENDPOINT=running.endpoint, OTEL_BSP_SCHEDULE_DELAY="50")
        yield running


def planned(world: Any, folder: Path, *forward: dict[str, Any]) -> Any:
    """Return a release whose deployment to development has these steps, and one check."""
    release = world.evidenced()
    open_to_programs(world.targets["development"], folder)
    return alter(release, step_plan=plan(*forward))


def scheduled(world: Any, release: Any) -> Deployment:
    with world.acting_as("developer"):
        deployment = request(release.pk, environment_id=world.environments["development"].pk)
        schedule(deployment.pk)
    return deployment


@pytest.fixture
def processes(world: Any, database: str, tmp_path: Path, settings: Any) -> Iterator[Callable[..., Running]]:
    """Return a function: a scheduler and a worker of development as processes of their own, with these variables."""
    started: list[Running] = []

    def start(deployment: Deployment, folder: str, **variables: str) -> Running:
        (tmp_path / folder).mkdir()
        made = Running(database, deployment, Path(world.targets["development"].root), tmp_path / folder)
        made.redis_url = settings.RQ_QUEUES["development"]["URL"]
        made.process("scheduler", RINGI_PROCESS="scheduler", **variables)
        made.process("worker", "development", RINGI_PROCESS="worker-development", **variables)
        started.append(made)
        return made

    yield start
    for running in started:
        running.end()


@needs_extra
def test_a_deployment_is_one_trace_across_its_processes(
    world: Any, sent: Collector, processes: Callable[..., Running], tmp_path: Path
) -> None:
    script = f"import os; open({str(tmp_path / 'seen')!r}, 'w').write(os.environ['TRACEPARENT']); print('said aloud')"
    release = planned(world, tmp_path, row([sys.executable, "-c", script]), row(["/bin/echo", SECRET]))
    deployment = scheduled(world, release)
    where = {"OTEL_EXPORTER_OTLP_ENDPOINT": sent.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "50"}
    processes(deployment, "running", **where).comes_to("succeeded")
    found = sent.until(lambda spans: len(spans_of(spans, "RUN datasets")) == 1 and len(spans) >= 9)
    assert {span.trace for span in found} == {telemetry.ids(deployment)["trace_id"]}
    known = {span.id: span for span in found}
    assert len(known) == len(found), "no span is sent twice"

    def parent(span: Span) -> str:
        return known[span.parent].name if span.parent else ""

    made = [(span.name, parent(span), span.process["service.name"]) for span in found]
    web, scheduler, worker = "ringi", "ringi-scheduler", "ringi-worker-development"
    assert sorted(made) == sorted(
        [
            ("deployment:request", "", web),
            ("deployment:schedule", "deployment:request", web),
            ("deployment:enqueue", "deployment:request", scheduler),
            ("RUN datasets", "deployment:request", worker),
            ("deployment:start", "RUN datasets", worker),
            *[("command", "RUN datasets", worker)] * 3,
            ("deployment:succeed", "RUN datasets", worker),
        ]
    )
    run, steps = one(found, "RUN datasets"), spans_of(found, "command")
    assert (run.kind, run.attributes["cicd.pipeline.result"], run.failed) == (2, "success", False)
    assert run.attributes["cicd.pipeline.run.id"] == str(deployment.pk)
    assert run.attributes["deployment.environment.name"] == "development"
    assert [span.attributes["cicd.pipeline.task.run.id"] for span in steps] == ["1/1", "2/1", "3/1"]
    assert [span.attributes["cicd.pipeline.task.type"] for span in steps] == ["deploy", "deploy", "test"]
    assert all(run.begin <= span.begin <= span.end <= run.end for span in steps)
    assert {span.attributes["ringi.target"] for span in steps} == {world.targets["development"].name}
    _version, trace, span, flags = (tmp_path / "seen").read_text().split("-")
    assert (trace, span, flags) == (run.trace, steps[0].id, "01"), "what the step calls joins below its attempt"
    assert all(text not in body for body in sent.raw for text in (SECRET.encode(), b"said aloud"))
    values = [str(value) for span in found for value in (*span.attributes.values(), *span.process.values())]
    accounts = list(world.people.values())
    people = {text for one in accounts for text in (one.username, one.email, str(one), one.get_full_name())} - {""}
    assert len(people) > 5 and not people & {word for value in values for word in [value, *re.split(r"\W+", value)]}


@needs_extra
@pytest.mark.parametrize("silent", [False, True])
def test_a_collector_that_is_gone_delays_no_deployment(
    world: Any, processes: Callable[..., Running], tmp_path: Path, silent: bool
) -> None:
    """The second of two deployments has a collector that refuses or never answers."""
    with socket.socket() as gone:
        gone.bind(("127.0.0.1", 0))
        if silent:
            gone.listen(8)
        where = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{gone.getsockname()[1]}"}
        where |= {"OTEL_EXPORTER_OTLP_TIMEOUT": "2", "OTEL_BSP_SCHEDULE_DELAY": "50"}
        took, running = [], None
        release = planned(world, tmp_path, *[row(TRUE)] * 5)
        for folder, variables in (("without", {}), ("with", where)):
            deployment = scheduled(world, release)
            if running is not None:
                running.end()
            running = processes(deployment, folder, **variables)
            running.comes_to("succeeded")
            ended = world.fresh(deployment)
            took.append((ended.ended_at - ended.started_at).total_seconds())
        print(f"without a collector {took[0]:.2f} s, with one that is gone {took[1]:.2f} s")
        assert took[1] < took[0] + 1.5
        worker = running.started[-1]
        asked = time.monotonic()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0 and time.monotonic() - asked < 8, "its end waits for two seconds and its own"


@needs_extra
def test_an_attempt_that_lost_its_worker_is_a_span_of_the_next_worker(
    sent: Collector, queued: Callable[..., Deployment]
) -> None:
    deployment = queued(row(TRUE, repeatable=True))
    with acting(WORKER):
        lost_attempt(first(deployment))
        run_from(first(deployment).pk)
    found = sent.until(lambda spans: len(spans_of(spans, "command")) == 3)
    lost, again = [
        span for span in spans_of(found, "command") if span.attributes["cicd.pipeline.task.run.id"].startswith("1/")
    ]
    assert (lost.attributes["cicd.pipeline.task.run.result"], lost.failed) == ("error", True)
    assert (lost.attributes["error.type"], again.attributes["ringi.step.outcome"]) == ("worker_lost", "succeeded")
    assert lost.attributes["cicd.worker.name"] == "dies"
    assert StepAttempt.objects.count() == len(spans_of(found, "command"))


@needs_extra
def test_a_rollback_is_in_the_same_trace_and_names_the_run(
    world: Any, sent: Collector, approved_deployment: Callable[..., Deployment]
) -> None:
    deployment = approved_deployment(row(["/bin/false"]))
    agreed = {"on": True, "rows": 10, "on_failure": True}
    alter(
        deployment.approval_request,
        document={**deployment.approval_request.document, "rollback_pre_authorised": agreed},
    )
    with acting(WORKER):
        enqueue(deployment.pk)
        run_from(first(deployment).pk)
    prepare_rollback(Rollback.objects.get(deployment=deployment).pk)
    assert world.fresh(deployment).state == "rolled_back"
    trace = telemetry.ids(deployment)["trace_id"]

    def mine(spans: list[Span]) -> list[Span]:
        return [span for span in spans if span.trace == trace]

    found = mine(sent.until(lambda spans: len(spans_of(mine(spans), "command")) == 3))
    back, run = one(found, "rollback"), one(found, "RUN datasets")
    assert back.links == [(run.trace, run.id)]
    assert (run.attributes["cicd.pipeline.result"], run.failed) == ("failure", True)
    failed, restores, checks = spans_of(found, "command")
    assert (failed.parent, failed.attributes["error.type"]) == (run.id, "failed")
    assert (restores.parent, checks.parent) == (back.id, back.id)
    assert back.begin <= restores.begin <= checks.begin and len(spans_of(found, "rollback:start")) == 1


@needs_extra
def test_the_run_tells_of_its_monitoring(world: Any, sent: Collector, queued: Callable[..., Deployment]) -> None:
    deployment = queued(row(TRUE))
    times = {"started_at": deployment.created_at, "ended_at": deployment.created_at, "result": "passed"}
    make(MonitoringPeriod, deployment=deployment, interval_seconds=60, duration_seconds=1, **times)
    with acting(WORKER):
        run_from(first(deployment).pk)
    run = one(sent.until(lambda spans: bool(spans_of(spans, "RUN datasets"))), "RUN datasets")
    purpose = {"ringi.monitoring.purpose": "deployment"}
    ended = ("monitoring:end", {**purpose, "ringi.monitoring.result": "passed"})
    assert run.events == [("monitoring:start", purpose), ended]
    with acting(WORKER):
        raise_(deployment.pk, cause=NO_RESPONSE, note="to see what is sent after the end")
    found = sent.until(lambda spans: bool(spans_of(spans, "rollback:raise")))
    assert one(found, "RUN datasets") is run and one(found, "rollback:raise").parent == run.id


@needs_extra
def test_the_callers_trace_is_linked_and_stands_in_the_log(
    world: Any, sent: Collector, queued: Callable[..., Deployment]
) -> None:
    caller = f"00-{'a' * 32}-{'b' * 16}-01"
    seen: list[dict[str, str]] = []
    with tracing(traceparent=caller):
        deployment = scheduled(world, planned(world, Path(world.targets["development"].root), row(TRUE)))
    asked = one(sent.until(lambda spans: len(spans) >= 2), "deployment:request")
    assert asked.links == [("a" * 32, "b" * 16)]
    committed.append(lambda op: seen.append(about()) if op.event == "step:succeed" else None)
    with acting(WORKER):
        enqueue(deployment.pk)
        run_from(first(deployment).pk)
    span = spans_of(sent.until(lambda spans: len(spans_of(spans, "command")) == 2), "command")[0]
    assert (seen[0]["trace_id"], seen[0]["span_id"]) == (asked.trace, span.id)
    assert (seen[0]["deployment"], seen[0]["release"]) == (str(deployment.pk), str(deployment.release_id))


@needs_extra
def test_the_sampler_of_the_environment_decides(on: Callable[..., None], queued: Callable[..., Deployment]) -> None:
    with collector() as running:
        on(OTEL_EXPORTER_OTLP_ENDPOINT=running.endpoint, OTEL_TRACES_SAMPLER="parentbased_always_off")
        deployment = queued(row(TRUE))
        with acting(WORKER):
            run_from(first(deployment).pk)
        assert telemetry.traceparent(first(deployment), 1).endswith("-00")
        provider = telemetry.tracer_provider()
        assert provider is not None and provider.force_flush() and running.spans == []


@needs_extra
def test_a_fault_in_a_span_ends_no_operation(
    world: Any, sent: Collector, queued: Callable[..., Deployment], monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = queued(row(TRUE))
    monkeypatch.setattr(telemetry, "_span_of", lambda deployment, name: 1 // 0)
    before = len(sent.until(lambda spans: len(spans) >= 3))
    with world.acting_as("manager"):
        cancel(deployment.pk, reason="to see it done")
    assert world.fresh(deployment).state == "cancelled" and len(sent.spans) == before


def test_without_the_extra_a_named_collector_is_only_mentioned(
    on: Callable[..., None],
    queued: Callable[..., Deployment],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    on(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
    deployment = queued(row(TRUE))
    with acting(WORKER):
        run_from(first(deployment).pk)
    assert (
        caplog.text.count("the extra otel is not installed") == 1 and telemetry.traceparent(first(deployment), 1) == ""
    )
    assert Deployment.objects.get(pk=deployment.pk).state == "succeeded"


@pytest.mark.parametrize(
    ("variables", "used"),
    [({}, False), ({"SDK_DISABLED": "true"}, False), ({"TRACES_EXPORTER": "none"}, False), ({"BSP": ""}, INSTALLED)],
    ids=["none", "disabled", "off", "named"],
)
def test_without_a_collector_nothing_of_it_is_imported(database: str, variables: dict[str, str], used: bool) -> None:
    # Redis's client imports the metrics itself, where they are installed.
    code = (
        "import django, sys; django.setup(); import releases.jobs, config.urls; from releases import telemetry;"
        "telemetry.tracer_provider(); print('opentelemetry.sdk.trace' in sys.modules)"
    )
    named = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"} if variables else {}
    named |= {f"OTEL_{name}": value for name, value in variables.items()}
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"} | named
    ran = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert ran.stdout == f"{used}\n", ran.stderr
