"""A step type: the application's container: run from the release's image, by digest, or stopped."""

import shlex
import time
from typing import Any, ClassVar, Literal

from environments.targets.base import Parameters, Probe, StepContext, StepFailed
from environments.targets.container import (
    DIGEST,
    KEY,
    TARGET,
    Container as Settings,
    State,
    container_of,
    engine,
    has_image,
    image_of,
    state_of,
)
from environments.targets.masking import masked
from environments.targets.runner import secrets_of
from environments.targets.service_proof import answers, is_version, reported
from environments.targets.service_settings import Service, service_of
from environments.targets.target import Held, TargetStep, filled, journal_lines, journal_once
from environments.targets.words import gettext as _

POLL_SECONDS = 0.2
# How long a container without a ready URL may take until it runs steadily.
START_SECONDS = 20.0
# At least so many looks in a row must find it serving.
LEAST_LOOKS = 3
STARTED, STOPPED, REMOVED = "container:started", "container:stopped", "container:removed"


class ContainerParameters(Parameters):
    """action: run the wanted image in place of what runs, or stop the container."""

    action: Literal["run", "stop"] = "run"


class Container(TargetStep):
    """Replaces the container of the target by one of the wanted image; a rollback to no version removes it."""

    name: ClassVar[str] = "container"
    parameters: ClassVar[type[Parameters]] = ContainerParameters
    repeatable: ClassVar[bool] = True
    estimate_seconds: ClassVar[float] = 60

    def make(self, context: StepContext, held: Held, parameters: ContainerParameters) -> dict[str, Any]:
        """Run or stop it; facts: code (SHA-256 of the image that runs, "" for none), code_before, started_at,
        ready_seconds.

        Raises StepFailed with the last lines of its log when it does not serve.
        """
        settings = _settings(context)
        before = state_of(context.target, settings)
        if before is not None and before.target not in ("", str(context.target.root)):
            text = _("the container %(name)s belongs to the deployment target in %(root)s: choose another name")
            raise StepFailed(text % {"name": settings.name, "root": before.target})
        if parameters.action == "stop":
            if before is not None and before.running:
                self._engine(context, held, settings, *_stop(context, settings))
            journal_once(context, STOPPED)
            return {"code": before.digest if before is not None else "", "code_before": _digest(before)}
        if context.wanted is None:
            if before is not None:
                self._engine(context, held, settings, "rm", "--force", settings.name)
            line = journal_once(context, REMOVED, before=_digest(before))
            return {"code": "", "code_before": line["before"]}
        if context.wanted.artefact != "image":
            raise StepFailed(_("the release deploys no container image"))
        if not (before is not None and before.key == context.key and before.running):
            self._replace(context, held, settings, before)
        state, seconds = _wait_until_serving(context, held, settings)
        line = journal_once(context, STARTED, code=state.digest, before=_digest(before))
        return {
            "code": state.digest,
            "code_before": line["before"],
            "started_at": state.started_at,
            "ready_seconds": round(seconds, 3),
        }

    def look(self, context: StepContext, held: Held, parameters: ContainerParameters) -> tuple[Probe, dict[str, Any]]:
        """Done when the container is as wanted, by what its engine reports, and serves; else the fact `why`."""
        settings = _settings(context)
        state = state_of(context.target, settings)
        if parameters.action == "stop":
            done = journal_lines(context.target, key=context.key, effect=STOPPED)
            stands = state is None or not state.running
            return (Probe.DONE, {"code": _digest(state)}) if done and stands else (Probe.NOT_DONE, {})
        if context.wanted is None:
            lines = journal_lines(context.target, key=context.key, effect=REMOVED)
            if state is None and lines:
                return Probe.DONE, {"code": "", "code_before": lines[-1]["before"]}
            return Probe.NOT_DONE, {}
        lines = journal_lines(context.target, key=context.key, effect=STARTED)
        why = _why_not_serving(context, service_of(context.target.settings), state)
        if why or not lines or state is None:
            return Probe.NOT_DONE, {"why": why}
        return Probe.DONE, {"code": state.digest, "code_before": lines[-1]["before"], "started_at": state.started_at}

    def describe(self, context: StepContext, parameters: ContainerParameters) -> list[str]:
        """Return the lines of the dry run, secrets masked."""
        settings, secrets = _settings(context), secrets_of(context)
        if parameters.action == "stop":
            words = [_stop(context, settings)]
        elif context.wanted is None:
            words = [["rm", "--force", settings.name]]
        elif context.wanted.artefact != "image":
            raise StepFailed(_("the release deploys no container image"))
        else:
            words = [["pull", image_of(context.wanted)], _stop(context, settings), _run(context, settings)]
        return [masked(shlex.join([settings.engine, *line]), secrets) for line in words]

    def _replace(self, context: StepContext, held: Held, settings: Settings, before: State | None) -> None:
        assert context.wanted is not None
        if not has_image(context.target, settings, context.wanted):
            self._engine(context, held, settings, "pull", "--quiet", image_of(context.wanted))
        context.heartbeat()
        if before is not None:
            if before.running:
                self._engine(context, held, settings, *_stop(context, settings))
            self._engine(context, held, settings, "rm", "--force", settings.name)
        self._engine(context, held, settings, *_run(context, settings))

    def _engine(self, context: StepContext, held: Held, settings: Settings, *arguments: str) -> None:
        """Run a command of the engine. It inherits no lock: what it starts stays, and would keep the target locked."""
        engine(
            context.target,
            settings,
            arguments,
            seconds=max(0.0, held.until - time.monotonic()),
            output=context.output,
            heartbeat=context.heartbeat,
            secrets=secrets_of(context),
            silence=context.no_output_timeout_seconds,
        )


def _settings(context: StepContext) -> Settings:
    settings = container_of(context.target.settings)
    if settings is None:
        raise StepFailed(_("the target options name no container (container.name)"))
    return settings


def _digest(state: State | None) -> str:
    return state.digest if state is not None else ""


def _stop(context: StepContext, settings: Settings) -> list[str]:
    seconds = service_of(context.target.settings).stop_seconds
    return ["stop", "--time", str(round(seconds)), settings.name]


def _run(context: StepContext, settings: Settings) -> list[str]:
    """Return the arguments of `run`. The labels name step, image and target; the engine tells them after a crash."""
    assert context.wanted is not None
    known = {KEY: context.key, DIGEST: context.wanted.digest, TARGET: context.target.root}
    labels = [word for label, value in known.items() for word in ("--label", f"{label}={value}")]
    options, command = (filled(words, context.target) for words in (settings.options, settings.command))
    return ["run", "--detach", "--name", settings.name, *labels, *options, image_of(context.wanted), *command]


def _why_not_serving(context: StepContext, service: Service, state: State | None) -> str:
    """Return why this step's container does not serve as wanted; empty when it does."""
    assert context.wanted is not None
    if state is None:
        return _("there is no container")
    if state.key != context.key or state.digest != context.wanted.digest:
        return _("the container runs the image %(digest)s") % {"digest": state.digest[:12] or "—"}
    if not state.running:
        return _("the container ended with exit code %(code)d") % {"code": state.exit_code}
    if service.ready is not None and not answers(service.ready.url):
        return _("%(url)s does not answer with a status from 200 to 299") % {"url": service.ready.url}
    if service.version is not None:
        version = context.wanted
        wanted = {"version": version.version, "tag": version.tag, "commit": version.commit}
        try:
            said = reported(context.target, service.version)
        except StepFailed as failed:
            return str(failed)
        if not is_version(said, wanted):
            named = {"reported": said[:60], "wanted": version.version}
            return _("the service reports version “%(reported)s”, not “%(wanted)s”") % named
    return ""


def _wait_until_serving(context: StepContext, held: Held, settings: Settings) -> tuple[State, float]:
    """Wait until the container serves, several times over `stable_seconds` without a break; return it, and the seconds
    until it first served.
    """
    service = service_of(context.target.settings)
    began = time.monotonic()
    until = min(held.until, began + (service.ready.seconds if service.ready is not None else START_SECONDS))
    served_at, looks = began, 0
    while True:
        state = state_of(context.target, settings)
        why, moment = _why_not_serving(context, service, state), time.monotonic()
        if not why and state is not None:
            served_at, looks = (served_at, looks + 1) if looks else (moment, 1)
            if looks >= LEAST_LOOKS and moment - served_at >= service.stable_seconds:
                return state, served_at - began
        else:
            looks = 0
            if state is None or not state.running or moment >= until:
                raise _failure(context, settings, why)
        context.heartbeat()
        time.sleep(POLL_SECONDS)


def _failure(context: StepContext, settings: Settings, why: str) -> StepFailed:
    log = engine(context.target, settings, ["logs", "--tail", "5", settings.name], allowed=range(256))
    last = masked(log.text, secrets_of(context))
    return StepFailed(f"{why}\n{last}" if last else why, state=last)
