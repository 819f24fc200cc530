"""The deployment process of one application: the steps, checks, metrics and triggers that it has in place of the
procedure's.

`Process.from_toml` and `checked` list every fault, also those that arise together with a procedure.
"""

import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Annotated, Any, Literal, Self

from django.utils.translation import gettext as _
from pydantic import Field, StringConstraints, ValidationError

from environments.language import listed
from releases.procedures import parts
from releases.procedures.document import Plans, Procedure, Section
from releases.procedures.places import Fault, Path, ProcedureFaults, fault_at, lines_of, message_of
from releases.procedures.rows import all_unknown, list_of, rows_of
from releases.procedures.values import Key

# The sections that a process may have of its own; one that it leaves out is the procedure's.
SECTIONS = ("plans", "checks", "metrics", "monitoring", "triggers")
REFERENCE = re.compile(r"#\{([^{}]*)\}")
_Own = Field(exclude_if=lambda value: value is None)


class Variable(parts.Part):
    """A value that parameters of steps and checks name as `#{name}`, in all environments or in those named, on all
    targets or on those whose name or group is among `targets`.
    """

    name: Key
    value: Annotated[str, Field(max_length=200)]
    environments: tuple[Key, ...] = ()
    targets: Annotated[tuple[Key, ...], parts.LeftOutIfEmpty] = ()


class Strategy(parts.Part):
    """How several targets are deployed to. batches: sizes of the batches, each a number of targets or a share (`25%`);
    the last one holds for the rest. max_failures: how many targets may fail before no further step begins.
    pause_seconds: between two batches.
    """

    batches: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=r"^([1-9]\d{0,3}|(100|[1-9]\d?)%)$")], ...],
        Field(min_length=1, max_length=20),
    ] = ("1", "100%")
    max_failures: Annotated[int, Field(ge=0, le=1000)] = 0
    pause_seconds: Annotated[int, Field(ge=0, le=86400)] = 0


class Process(Section):
    """A deployment process; see `SECTIONS`. artefact: what is deployed in place of the commit's Git tree. strategy: the
    batches of several targets.
    """

    format: Literal[1]
    artefact: Annotated[Literal["archive", "file", "image"] | None, _Own] = None
    strategy: Annotated[Strategy | None, _Own] = None
    variables: Annotated[tuple[Variable, ...], parts.LeftOutIfEmpty] = ()
    plans: Annotated[Plans | None, _Own] = None
    checks: Annotated[tuple[parts.Check, ...] | None, _Own] = None
    metrics: Annotated[tuple[parts.Metric, ...] | None, _Own] = None
    monitoring: Annotated[parts.Monitoring | None, _Own] = None
    triggers: Annotated[tuple[parts.Trigger, ...] | None, _Own] = None

    @classmethod
    def from_toml(
        cls, text: str, procedure: Procedure, targets: Collection[str] | None = None, **types: Collection[str]
    ) -> Self:
        """Read a process from TOML; see `checked`. Raises ProcedureFaults with every fault, each with its line."""
        try:
            raw = tomllib.loads(text)
        except tomllib.TOMLDecodeError as fault:
            raise ProcedureFaults([Fault(_("(the text)"), _("is not TOML: %(fault)s") % {"fault": fault})]) from None
        return cls.checked(raw, procedure, lines_of(text), targets, **types)

    @classmethod
    def checked(
        cls,
        raw: Mapping[str, Any],
        procedure: Procedure,
        lines: Mapping[Path, str] | None = None,
        targets: Collection[str] | None = None,
        /,
        **types: Collection[str],
    ) -> Self:
        """Build a process from plain values. Raises ProcedureFaults with every fault.

        procedure: the one whose other parts apply with it. targets: names and groups of the application's targets,
        of which variables may be; None: any. types: as in `Procedure.checked`.
        """
        found: dict[Fault, None] = {}
        process: Self | None = None
        known = lines or {}
        try:
            process = cls.model_validate(raw)
        except ValidationError as invalid:
            for error in invalid.errors(include_url=False, include_input=False):
                if error["loc"][0] not in SECTIONS:  # the sections are judged as parts of the procedure
                    found[fault_at(tuple(error["loc"]), message_of(error), known)] = None
        for path, message in (*_variable_faults(raw, procedure, targets), *_artefact_faults(raw, procedure)):
            found[fault_at(path, message, known)] = None
        own = {key: raw[key] for key in SECTIONS if raw.get(key) is not None}
        rest, seen = procedure.model_dump(mode="json"), list[dict[str, str]]()
        special = {target for _path, row in rows_of(raw, "variables") for target in list_of(row, "targets")}
        # Parameters are judged with the values that they have in each environment, and on each target.
        for place, target in product(procedure.environments, ["", *sorted(map(str, special))]):
            if (values := _values(raw, place.key, {target})) not in seen:
                seen.append(values)
                try:
                    Procedure.checked(rest | with_values(own, values), known, **types)
                except ProcedureFaults as faults:
                    found |= dict.fromkeys(_of_procedure(fault, own) for fault in faults.faults)
        if found or process is None:
            raise ProcedureFaults(found)
        return process

    def values_in(self, environment: str, *target: str) -> dict[str, str]:
        """Return variable → value in an environment, on a target (name, group): one that names the target replaces one
        that names the environment, and that one for all. Without a target: only those that are the same on each.
        """
        special = {row.name for row in self.variables if row.targets}
        values = _values(self.model_dump(), environment, set(target) - {""})
        return values if target else {name: value for name, value in values.items() if name not in special}

    def applied_to(self, procedure: Procedure, environment: str = "") -> Procedure:
        """Return a procedure with the sections of this process. environment: where its variables have their values;
        left out: they stay names, as do those that depend on the target.
        """
        own = {key: getattr(self, key) for key in SECTIONS if getattr(self, key) is not None}
        checks = own.get("checks", procedure.checks)
        if environment:
            values = self.values_in(environment)
            own["checks"] = tuple(
                row.model_copy(update={"parameters": with_values(row.parameters, values)}) for row in checks
            )
        return procedure.model_copy(update=own)


def with_values(value: Any, values: Mapping[str, str]) -> Any:
    """Return plain values with `#{name}` replaced in every text; a name without a value stays."""
    if isinstance(value, str):
        return REFERENCE.sub(lambda found: values.get(found[1].strip(), found[0]), value)
    if isinstance(value, Mapping):
        return {key: with_values(inner, values) for key, inner in value.items()}
    return [with_values(inner, values) for inner in value] if isinstance(value, list | tuple) else value


def _of_procedure(fault: Fault, own: Mapping[str, Any]) -> Fault:
    """Return a fault; one in a section that the process left to the procedure says so."""
    section = fault.path[0] if fault.path else ""
    if section in own or section not in SECTIONS:
        return fault
    text = _("%(fault)s; this stands in the procedure, so write %(section)s of the process's own")
    return replace(fault, message=text % {"fault": fault.message, "section": section})


def _values(raw: Mapping[str, Any], environment: str, target: Collection[str]) -> dict[str, str]:
    rows = [row for _path, row in rows_of(raw, "variables") if isinstance(row.get("value"), str)]
    rows.sort(key=lambda row: (bool(row.get("targets")), bool(row.get("environments"))))
    return {
        str(row.get("name")): row["value"]
        for row in rows
        if not row.get("environments") or environment in list_of(row, "environments")
        if not row.get("targets") or not set(target).isdisjoint(list_of(row, "targets"))
    }


def _variable_faults(
    raw: Mapping[str, Any], procedure: Procedure, targets: Collection[str] | None
) -> Iterator[tuple[Path, str]]:
    """Refuse a variable of an unknown environment or target, one that is written twice, and a name without a value."""
    places = [place.key for place in procedure.environments]
    named: dict[str, set[tuple[str, str]]] = {}
    for path, row in rows_of(raw, "variables"):
        known = named.setdefault(str(row.get("name")), set())
        yield from all_unknown((*path, "environments"), row.get("environments"), places, "environment")
        if targets is not None:
            yield from all_unknown((*path, "targets"), row.get("targets"), targets, "target or group")
        for place, target in product(list_of(row, "environments") or [""], list_of(row, "targets") or [""]):
            if (str(place), str(target)) in known:
                yield (*path, "name"), _("%(value)s is written twice") % {"value": row.get("name")}
            known.add((str(place), str(target)))
    for path, text in _texts({key: raw.get(key) for key in ("plans", "checks")}, ()):
        for name in (found.strip() for found in REFERENCE.findall(text)):
            where = {place for place, target in named.get(name, ()) if not target}
            if name not in named:
                yield path, _("names #{%(name)s}, which is no variable") % {"name": name}
            elif not where:
                yield path, _("names #{%(name)s}, which has no value on other targets") % {"name": name}
            elif "" not in where and (rest := [place for place in places if place not in where]):
                said = {"name": name, "environments": listed(rest)}
                yield path, _("names #{%(name)s}, which has no value in %(environments)s") % said


def _artefact_faults(raw: Mapping[str, Any], procedure: Procedure) -> Iterator[tuple[Path, str]]:
    """Refuse steps that deploy something else than the process names."""
    plans = raw["plans"] if isinstance(raw.get("plans"), Mapping) else procedure.plans.model_dump()
    image = raw.get("artefact") == "image"
    wrong = "code_deploy" if image else "container"
    for section, rows in plans.items():
        for number, row in enumerate(rows if isinstance(rows, list | tuple) else ()):
            if isinstance(row, Mapping) and row.get("type") == wrong:
                yield ("plans", section, number, "type"), _no_artefact(raw.get("artefact"))


def _no_artefact(artefact: Any) -> str:
    if artefact == "image":
        return _('code_deploy deploys files, and the process deploys artefact = "image"')
    if not artefact:
        return _("container runs a container image, and the process deploys the Git tree of the commit: write artefact")
    return _('container runs a container image, and the process deploys artefact = "%(artefact)s"') % {
        "artefact": artefact
    }


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    inner: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, Mapping) else ()
    for key, below in enumerate(value) if isinstance(value, list | tuple) else inner:
        yield from _texts(below, (*path, key))
