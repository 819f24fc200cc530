"""The forms that change a part of a deployment process: steps, checks, variables, batches, monitoring and triggers.

Each part has a function for the fields, and one that writes their values into the JSON of the next version.
"""

import tomllib
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

import tomli_w
from django import forms
from django.utils.translation import gettext, gettext_lazy as _

from audit.refusals import InvalidInput
from environments.models import Application, DeploymentTarget, Environment
from releases import check_types, step_types
from releases.admin.operations.fields import text
from releases.admin.operations.procedure_forms import PLANS, Content, Fields, label_of, number, several
from releases.models import DeploymentProcess
from releases.operations.deployment_process import create
from releases.operations.release.plan import active_procedure
from releases.procedures.document import ProcedureFaults
from releases.procedures.process import Process
from releases.queries.procedure_types import procedure_types

# Versions that the forms start from.
CHANGEABLE = frozenset({"in_effect", "draft"})
PLAN_NAMES = {
    "deployment": _("Deployment"),
    "after_deployment": _("after the deployment"),
    "before_rollback": _("before the rollback"),
    "rollback": _("Rollback"),
    "after_rollback": _("after the rollback"),
}
WHEN = {
    "batch": _("after each batch"),
    "deployment": _("after the deployment"),
    "monitoring": _("during monitoring"),
    "rollback": _("after the rollback"),
}


def read(application: Application, content: str | Mapping[str, Any]) -> Process:
    """Read a process of an application, from TOML or from plain values. Raises ProcedureFaults."""
    names = DeploymentTarget.objects.filter(application=application).values_list("name", "group")
    known, types = {name for pair in names for name in pair if name}, procedure_types()
    procedure = active_procedure(application).document
    if isinstance(content, str):
        return Process.from_toml(content, procedure, known, **types)
    return Process.checked(content, procedure, None, known, **types)


def _words(row: Mapping[str, Any], what: Any) -> str:
    return f"{label_of(row)} – {what}"


def _parameters(row: Mapping[str, Any]) -> forms.Field:
    words = _words(row, gettext("parameters (TOML)"))
    return text(words, rows=3, required=False, initial=tomli_w.dumps(row["parameters"]))


def _table(words: str) -> dict[str, Any]:
    try:
        return tomllib.loads(words)
    except tomllib.TOMLDecodeError as fault:
        raise forms.ValidationError(gettext("The parameters are not TOML: %(why)s") % {"why": fault}) from fault


def _removed(rows: list[Content]) -> forms.Field:
    return several(_("to remove"), [(index, label_of(row)) for index, row in enumerate(rows)], coerce=int)


def _required(row: Mapping[str, Any]) -> forms.Field:
    words = _words(row, gettext("required"))
    return forms.BooleanField(label=words, initial=row["required"], required=False)


def _new(types: Any, place: Any, places: Mapping[str, Any]) -> Fields:
    return {
        "new_name": text(_("name of a new row (empty: none)"), required=False),
        "new_type": forms.ChoiceField(label=_("its type"), choices=[(name, name) for name in sorted(types)]),
        "new_place": forms.ChoiceField(label=place, choices=list(places.items())),
        "new_parameters": text(_("its parameters (TOML)"), rows=4, required=False),
    }


def _added(rows: list[Content], values: Mapping[str, Any]) -> Content:
    """Return the row that a form adds, with a key that no other one has."""
    taken = {row["key"] for row in rows}
    key = next(key for n in range(1, 1000) if (key := f"{values['new_type']}_{n}") not in taken)
    words = {"ja": values["new_name"], "en": values["new_name"]}
    return {"key": key, **words, "type": values["new_type"], "parameters": _table(values["new_parameters"])}


def _steps_of(content: Content) -> Iterator[tuple[str, str, Content]]:
    for plan in PLANS:
        for index, row in enumerate((content.get("plans") or {}).get(plan, ())):
            yield plan, f"{plan}__{index}", row


def steps(content: Content) -> Fields:
    """Return the fields of each step: its place in the plan, estimate, deadline, whether it is required, parameters."""
    found: Fields = {}
    for _plan, name, row in _steps_of(content):
        place = int(name.rpartition("__")[2]) + 1
        found[f"{name}__place"] = number(_words(row, gettext("order")), place, 1, 100)
        found[f"{name}__estimate_seconds"] = number(
            _words(row, gettext("estimate in seconds")), row["estimate_seconds"], 1
        )
        found[f"{name}__deadline_seconds"] = number(
            _words(row, gettext("deadline in seconds (empty: ten times the estimate)")),
            row.get("deadline_seconds"),
            1,
            required=False,
        )
        found[f"{name}__required"] = _required(row)
        found[f"{name}__parameters"] = _parameters(row)
    found["removed"] = _removed([row for _plan, _name, row in _steps_of(content)])
    return found | _new(step_types.shapes(), _("its plan"), PLAN_NAMES) if content.get("plans") else {}


def edit_steps(content: Content, values: Mapping[str, Any]) -> None:
    """Write these fields into a process."""
    plans, kept = content["plans"], dict[str, list[tuple[int, Content]]]()
    rows = [row for _plan, _name, row in _steps_of(content)]
    for index, (plan, name, row) in enumerate(_steps_of(content)):
        row["estimate_seconds"], row["required"] = values[f"{name}__estimate_seconds"], values[f"{name}__required"]
        row["deadline_seconds"] = values[f"{name}__deadline_seconds"]
        row["parameters"] = _table(values[f"{name}__parameters"])
        if index not in values["removed"]:
            kept.setdefault(plan, []).append((values[f"{name}__place"], row))
    for plan in PLANS:
        plans[plan] = [row for _place, row in sorted(kept.get(plan, ()), key=lambda pair: pair[0])]
    if values["new_name"]:
        plans[values["new_place"]].append(_added(rows, values) | {"estimate_seconds": 60, "required": True})


def checks(content: Content) -> Fields:
    """Return the fields of each check: whether it is required, and its parameters."""
    rows = content.get("checks") or []
    found: Fields = {}
    for index, row in enumerate(rows):
        found |= {f"{index}__required": _required(row), f"{index}__parameters": _parameters(row)}
    found["removed"] = _removed(rows)
    return found | _new(check_types.shapes(), _("when it is made"), WHEN) if "checks" in content else {}


def edit_checks(content: Content, values: Mapping[str, Any]) -> None:
    """Write these fields into a process."""
    rows = content["checks"]
    for index, row in enumerate(rows):
        row["required"], row["parameters"] = values[f"{index}__required"], _table(values[f"{index}__parameters"])
    content["checks"] = [row for index, row in enumerate(rows) if index not in values["removed"]]
    if values["new_name"]:
        when = {"when": values["new_place"], "maintenance": "after", "required": True}
        content["checks"].append(_added(rows, values) | when)


def variables(content: Content) -> Fields:
    """Return the fields of each variable: its value, environments and targets; and one new variable."""
    found: Fields = {}
    rows = [*content.get("variables", ()), {"name": "", "value": "", "environments": [], "targets": []}]
    where = [(place.slug, str(place)) for place in Environment.objects.order_by("order")]
    for index, row in enumerate(rows):
        words = f"#{{{row['name']}}}" if row["name"] else gettext("new variable")
        if not row["name"]:
            found[f"{index}__name"] = text(_("name of a new variable (empty: none)"), required=False, most=60)
        found[f"{index}__value"] = text(f"{words} – {gettext('value')}", required=False, initial=row["value"], most=200)
        label = f"{words} – {gettext('environments (none: all)')}"
        found[f"{index}__environments"] = several(label, where, row.get("environments", ()))
        label = f"{words} – {gettext('targets or groups, separated by spaces (none: all)')}"
        found[f"{index}__targets"] = text(label, required=False, initial=" ".join(row.get("targets", ())))
    names = [(index, f"#{{{row['name']}}} = {row['value']}") for index, row in enumerate(rows[:-1])]
    return found | {"removed": several(_("to remove"), names, coerce=int)}


def edit_variables(content: Content, values: Mapping[str, Any]) -> None:
    """Write these fields into a process."""
    rows = [*content.get("variables", ()), {"name": values[f"{len(content.get('variables', ()))}__name"]}]
    found = []
    for index, row in enumerate(rows):
        if row["name"] and index not in values["removed"]:
            scope = {"environments": values[f"{index}__environments"], "targets": values[f"{index}__targets"].split()}
            found.append({"name": row["name"], "value": values[f"{index}__value"], **scope})
    content["variables"] = found


def batches(content: Content) -> Fields:
    """Return the fields of the batches of several targets."""
    strategy = content.get("strategy") or {}
    sizes = " ".join(strategy.get("batches", ("1", "100%")))
    return {
        "batches": text(_("sizes of the batches: numbers or shares, such as 1 25% 100%"), initial=sizes),
        "max_failures": number(gettext("targets that may fail"), strategy.get("max_failures", 0), most=1000),
        "pause_seconds": number(
            gettext("pause between two batches, in seconds"), strategy.get("pause_seconds", 0), most=86400
        ),
    }


def edit_batches(content: Content, values: Mapping[str, Any]) -> None:
    """Write these fields into a process."""
    content["strategy"] = {**values, "batches": values["batches"].replace(",", " ").split()}


def triggers(content: Content) -> Fields:
    """Return the fields of the length of monitoring and of each rollback trigger."""
    found: Fields = {}
    if monitoring := content.get("monitoring"):
        words = gettext("length of monitoring in seconds")
        found["duration_seconds"] = number(words, monitoring["duration_seconds"], 1)
    for index, row in enumerate(content.get("triggers") or ()):
        if row.get("metric"):
            found[f"{index}__limit"] = text(_words(row, gettext("fires at")), initial=str(row["limit"]))
            found[f"{index}__k"] = number(_words(row, gettext("number of measurements over the limit")), row["k"], 1)
            found[f"{index}__n"] = number(_words(row, gettext("number of last measurements")), row["n"], 1)
            found[f"{index}__dry_run"] = forms.BooleanField(
                label=_words(row, gettext("dry run")), initial=row.get("dry_run", False), required=False
            )
    if rows := content.get("triggers"):
        found["removed"] = _removed(rows)
    return found


def edit_triggers(content: Content, values: Mapping[str, Any]) -> None:
    """Write these fields into a process."""
    if "duration_seconds" in values:
        content["monitoring"]["duration_seconds"] = values["duration_seconds"]
    rows = content.get("triggers") or []
    for index, row in enumerate(rows):
        if row.get("metric"):
            row |= {name: values[f"{index}__{name}"] for name in ("limit", "k", "n", "dry_run")}
    if rows:
        content["triggers"] = [row for index, row in enumerate(rows) if index not in values["removed"]]


# Part → its label, its fields, and what writes their values. A part without fields is the procedure's.
PARTS: dict[str, tuple[Any, Callable[[Content], Fields], Callable[..., None]]] = {
    "steps": (_("Change steps"), steps, edit_steps),
    "checks": (_("Change checks"), checks, edit_checks),
    "variables": (_("Change variables"), variables, edit_variables),
    "batches": (_("Change batches"), batches, edit_batches),
    "triggers": (_("Change monitoring and triggers"), triggers, edit_triggers),
}


def fields_of(part: str, instance: Any) -> Fields:
    """Return the fields of a part of a version, with the reason."""
    found = PARTS[part][1](deepcopy(instance.content)) if instance is not None else {}
    return {**found, "reason": text(_("reason"))}


def of_the_procedure(part: str, instance: Any) -> str:
    """Return why a part cannot be changed here; empty where the process has it."""
    if PARTS[part][1](deepcopy(instance.content)):
        return ""
    return gettext("This deployment process has no such section of its own: the release procedure applies.")


def change(pk: int, *, part: str, reason: str, **values: Any) -> DeploymentProcess:
    """Make the next version, a draft, with a part as its form says. Raises InvalidInput where that changes nothing."""
    process = DeploymentProcess.objects.select_related("application").get(pk=pk)
    if process.state not in CHANGEABLE:
        said = gettext("This operation is not possible in the state “%(state)s”.")
        raise InvalidInput(said % {"state": process.get_state_display()})
    if why := of_the_procedure(part, process):
        raise InvalidInput(why)
    content = deepcopy(process.content)
    PARTS[part][2](content, values)
    try:
        made = read(process.application, {key: value for key, value in content.items() if value is not None})
    except ProcedureFaults as faults:
        raise forms.ValidationError([str(fault) for fault in faults.faults]) from faults
    if made == process.document:
        said = gettext("Nothing differs from version %(version)s. Change a value first.")
        raise InvalidInput(said % {"version": process.number})
    return create.create(application_id=process.application_id, content=made, reason=reason)
