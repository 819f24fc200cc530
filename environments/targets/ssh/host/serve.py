"""Serves one request on a target's host: a step's attempt, a check, a read, a measurement. Started by the bundle."""

import importlib
import importlib.util
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from environments.targets.base import (
    Fenced,
    ForgottenAttempt,
    Overdue,
    StepContext,
    StepFailed,
    StillRunning,
    StopRequested,
    TargetSpec,
    Version,
)
from environments.targets.masking import masked, passwords_in
from environments.targets.ssh.host.line import Line
from environments.targets.ssh.host.texts import tell
from environments.targets.words import gettext as _

# They need the library of PostgreSQL's client, which a host without a database may lack.
_LATE = ("environments.targets.database", "environments.targets.postgresql")


def main() -> None:
    """Take the request from standard input and answer it on standard output."""
    line = Line()
    request = line.request()
    tell(request["texts"])
    for name in _LATE:
        _lazily(name)
    try:
        try:
            line.say(answer=_done(request, line))
        except ImportError as error:
            if "psycopg" not in str(error) and "pq wrapper" not in str(error):
                raise
            raise StepFailed(_("the host lacks libpq, the library of PostgreSQL's client")) from error
    except (Fenced, ForgottenAttempt, Overdue, StepFailed, StillRunning, StopRequested) as fault:
        report = {"fault": type(fault).__name__, "message": str(fault)}
        line.say(**report, state=getattr(fault, "state", ""), facts=getattr(fault, "facts", {}))
    except Exception as fault:  # noqa: BLE001  whatever it is, the worker must get a report
        secrets = {*request.get("secrets", ()), *passwords_in(request.get("configuration", {}).values())}
        line.say(fault="Unforeseen", message=masked(f"{type(fault).__name__}: {fault}", secrets))


def _done(request: dict[str, Any], line: Line) -> Any:
    target = _target(request["target"])
    what = request["what"]
    if what in ("run", "probe"):
        kind, parameters = _named(request)
        context = _context(request, target, line)
        if what == "run":
            return kind.run(context, parameters)
        result, facts = kind.probe(context, parameters)
        return [result.value, facts]
    configuration = request.get("configuration", {})
    if what == "measure":
        from environments.targets.measured import measure

        return asdict(measure(target, configuration, data=request["data"]))
    if what == "maintenance":
        from environments.targets.examine import maintenance_is_on

        return maintenance_is_on(target)
    if what == "written_since":
        from environments.targets.written_rows import written_since

        return written_since(target, configuration, request["earlier"])
    if what == "reach":
        return {"root": target.root.is_dir()}
    if what in ("examine", "layout"):
        from environments.targets import examine

        return examine.answers_of(examine.examine(target)) if what == "examine" else examine.layout_of(target)
    if what == "shared_with":
        from environments.targets.path_identity import shared_with

        return shared_with(target, request["roots"])
    if what == "look":
        kind, parameters = _named(request)
        return kind.answer(target, parameters, request)
    raise StepFailed(f"not a request: {what}")


def _named(request: dict[str, Any]) -> tuple[Any, Any]:
    module, _dot, name = request["kind"].rpartition(".")
    kind = getattr(importlib.import_module(module), name)()
    return kind, kind.parameters(**request["parameters"])


def _target(given: dict[str, Any]) -> TargetSpec:
    return TargetSpec(given["application"], given["environment"], Path(given["root"]), given["settings"], there=True)


def _version(given: dict[str, str] | None) -> Version | None:
    return Version(**given) if given is not None else None


def _context(request: dict[str, Any], target: TargetSpec, line: Line) -> StepContext:
    given = request["context"]
    return StepContext(
        key=given["key"],
        fencing_token=given["fencing_token"],
        attempt=given["attempt"],
        traceparent=given["traceparent"],
        deployment_key=given["deployment_key"],
        target=target,
        repository="",
        wanted=_version(given["wanted"]),
        previous=_version(given["previous"]),
        configuration=request["configuration"],
        previous_configuration=given["previous_configuration"],
        earlier=given["earlier"],
        deadline_seconds=given["deadline_seconds"],
        no_output_timeout_seconds=given["no_output_timeout_seconds"],
        output=line.output,
        heartbeat=line.heartbeat,
        secrets=tuple(request["secrets"]),
        fetch=line.fetch,
    )


def _lazily(name: str) -> None:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ImportError(name)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    # An import statement that finds it there does not ask the module itself, which would load it.
    package, _dot, own = name.rpartition(".")
    setattr(sys.modules[package], own, module)
