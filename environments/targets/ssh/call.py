"""Calls to a target's host: an attempt of a step, and everything that only reads."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from environments.targets import trees
from environments.targets.base import Probe, StepContext, StepFailed, StepType, TargetSpec
from environments.targets.masking import Mask, passwords_in
from environments.targets.runner import base_environment, demand, run_command, secrets_of
from environments.targets.ssh.bundle import bundle, carries
from environments.targets.ssh.connection import PATIENCE_SECONDS, Lost, converse, raised
from environments.targets.ssh.place import KEY, place_of
from environments.targets.words import gettext as _, is_recording

# How often a repeatable step without its effect is begun again after a lost connection.
MOST_BEGINNINGS = 3
# How long a lost host is searched for, and how long a read may take.
LOOK_SECONDS = 60.0
PAUSE_SECONDS = 1.0


def run_there(kind: StepType, context: StepContext, parameters: Any) -> dict[str, Any]:
    """Run a step on its target's host; raises what the step type raises.

    When the connection is lost, the effect is probed under the same fencing_token: one that was made counts, one that
    was not is made again where that is harmless; else raises Lost.
    """
    until = time.monotonic() + context.deadline_seconds
    for beginning in range(1, MOST_BEGINNINGS + 1):
        try:
            facts: dict[str, Any] = _attempt("run", kind, context, parameters, until - time.monotonic())
            return facts
        except Lost as lost:
            context.output(f"{lost}\n".encode())
            result, found = _looked_for(kind, context, parameters)
            if result is Probe.DONE:
                return found
            again = result is Probe.NOT_DONE and kind.repeats(parameters) and time.monotonic() < until
            if not again or beginning == MOST_BEGINNINGS:
                raise
    raise AssertionError("unreachable")


def probe_there(kind: StepType, context: StepContext, parameters: Any) -> tuple[Probe, dict[str, Any]]:
    """Probe a step on its target's host; raises what the step type raises."""
    result, facts = _attempt("probe", kind, context, parameters, context.deadline_seconds)
    return Probe(result), facts


def ask(
    target: TargetSpec,
    what: str,
    *,
    configuration: Mapping[str, str] | None = None,
    seconds: float = 600.0,
    secrets: Iterable[str] = (),
    kind: Any = None,
    parameters: Any = None,
    **given: Any,
) -> Any:
    """Send a target's host a request without an effect, and return its answer. Raises StepFailed.

    kind, parameters: of a check or a metric source. secrets: to be masked in the answer, beside the passwords in the
    configuration.
    """
    values = dict(configuration or {})
    request = _request(target, what, kind, parameters) | given | {"configuration": values}
    request["secrets"] = _known_there(secrets, values)
    return _answered(target, request, seconds=seconds)


def refuses(kind: Any) -> str:
    """Return a sentence when a type cannot work on another host; empty when it can."""
    if carries(type(kind).__module__):
        return ""
    return _("step type “%(kind)s” cannot run on another host: it needs more than Python there") % {"kind": kind.name}


def _attempt(what: str, kind: StepType, context: StepContext, parameters: Any, seconds: float) -> Any:
    values = {**context.configuration}
    request = _request(context.target, what, kind, parameters)
    request["configuration"] = values
    request["secrets"] = _known_there(secrets_of(context), values, context.previous_configuration)
    request["context"] = {
        "key": context.key,
        "fencing_token": context.fencing_token,
        "attempt": context.attempt,
        "traceparent": context.traceparent,
        "deployment_key": context.deployment_key,
        "wanted": asdict(context.wanted) if context.wanted else None,
        "previous": asdict(context.previous) if context.previous else None,
        "previous_configuration": dict(context.previous_configuration),
        "earlier": dict(context.earlier),
        "deadline_seconds": max(0.0, seconds),
        "no_output_timeout_seconds": context.no_output_timeout_seconds,
    }
    # Output that is masked there already is masked here with all secrets known here.
    mask = Mask(secrets_of(context))

    def tree(path: Path, heartbeat: Any) -> None:
        if context.fetch is not None:
            context.fetch(path)
            return

        def git(arguments: Any) -> object:
            environment = base_environment(trees.git_environment())
            outcome = run_command(
                arguments, environment=environment, folder=Path("/"), seconds=600, heartbeat=heartbeat
            )
            return demand(outcome, arguments)

        if context.wanted is None:
            raise StepFailed(_("there is no version to deploy"))
        trees.archive(context.repository, context.wanted, path, git)

    context.heartbeat()
    try:
        return _answered(
            context.target,
            request,
            seconds=max(0.0, seconds),
            heartbeat=context.heartbeat,
            output=lambda chunk: _passed(context, mask.feed(chunk)),
            tree=tree,
        )
    finally:
        _passed(context, mask.flush())


def _passed(context: StepContext, text: bytes) -> None:
    if text:
        context.output(text)


def _looked_for(kind: StepType, context: StepContext, parameters: Any) -> tuple[Probe, dict[str, Any]]:
    """Probe until the host answers and nothing runs there any more; UNKNOWN when that takes too long."""
    until = time.monotonic() + LOOK_SECONDS
    while True:
        try:
            result, facts = _attempt("probe", kind, context, parameters, LOOK_SECONDS)
            if Probe(result) is not Probe.RUNNING:
                return Probe(result), facts
        except (Lost, StepFailed):
            pass
        if time.monotonic() >= until:
            return Probe.UNKNOWN, {}
        context.heartbeat()
        time.sleep(PAUSE_SECONDS)


def _request(target: TargetSpec, what: str, kind: Any, parameters: Any) -> dict[str, Any]:
    request: dict[str, Any] = {
        "what": what,
        "target": {
            "application": target.application,
            "environment": target.environment,
            "root": str(target.root),
            "settings": {name: value for name, value in target.settings.items() if name != "ssh"},
        },
        "texts": None if is_recording() else {text: said for text in bundle().texts if (said := _(text)) != text},
    }
    if kind is not None:
        if refusal := refuses(kind):
            raise StepFailed(refusal)
        request["kind"] = f"{type(kind).__module__}.{type(kind).__qualname__}"
        request["parameters"] = parameters.model_dump(mode="python")
    return request


def _known_there(secrets: Iterable[str], *configurations: Mapping[str, str]) -> list[str]:
    """Return those of the secrets that the host gets in any case: no other one leaves this machine, not even to be
    masked.
    """
    values = {value for configuration in configurations for value in configuration.values()}
    return sorted({*secrets} & (values | passwords_in(values)) | passwords_in(values))


def _answered(target: TargetSpec, request: dict[str, Any], *, seconds: float, **how: Any) -> Any:
    place = place_of(target)
    if not target.ssh_key:
        text = _("%(host)s needs a private key: add %(key)s to the secrets of the environment's configuration")
        raise StepFailed(text % {"host": place.label, "key": KEY})
    event = converse(place, target.ssh_key, target.root, request, seconds=seconds, **how)
    if "fault" in event:
        raise raised(event)
    return event["answer"]


__all__ = ["PATIENCE_SECONDS", "ask", "probe_there", "refuses", "run_there"]
