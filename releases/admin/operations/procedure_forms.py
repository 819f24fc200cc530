"""The forms that change a part of the procedure: approvals, gates by environment, steps, windows and freezes.

Each has a function for the fields, and one that writes their values into the JSON of the next version.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from django import forms
from django.utils.translation import gettext, gettext_lazy as _

from environments.language import language, listed, noted
from environments.models import ChangeWindow, Environment
from environments.models.role import role_names
from releases.admin.operations.fields import text
from releases.models import ApprovalRequest, Procedure, Release
from releases.operations.procedure import revise

Fields = dict[str, forms.Field]
Content = dict[str, Any]
PLANS = ("deployment", "after_deployment", "before_rollback", "rollback", "after_rollback")
REGULAR = ("rrule", "start", "length_minutes", "on_holiday", "releases_per_window")


def label_of(row: Mapping[str, Any]) -> str:
    """Return the words of a row of the document in the reader's language."""
    return str(row.get(language()) or row["en"])


def rule_label(content: Mapping[str, Any], rule: Mapping[str, Any]) -> str:
    """Return what an approval rule is about: subject, place, stage and condition."""
    tiers = {"all": gettext("All")} | dict(Environment.Tier.choices)
    where = places(content).get(rule.get("environment", ""), tiers.get(rule["tier"], ""))
    said = gettext("%(subject)s, %(tier)s, stage %(stage)d")
    said %= {"subject": subjects().get(rule["subject"], rule["subject"]), "tier": where, "stage": rule["stage"]}
    risks = dict(Release.Risk.choices)
    risk = [str(risks[key]) for key in (rule.get("when") or {}).get("risk", ())]
    return noted(said, listed(risk)) if risk else said


def subjects() -> dict[str, str]:
    """Return key → name of the subjects of approval rules."""
    found = {str(key): str(name) for key, name in ApprovalRequest.Subject.choices if key != "procedure_restore"}
    return found | {"late_rollback": gettext("Rollback after monitoring has ended")}


def places(content: Mapping[str, Any]) -> dict[str, str]:
    """Return key → name of the environments of a document, in their order."""
    return {row["key"]: row["name_ja"] if language() == "ja" else row["name_en"] for row in content["environments"]}


def several(label: Any, choices: list[tuple[Any, str]], initial: Any = (), coerce: Any = str) -> forms.Field:
    """Return a field of several choices, of which none need be taken."""
    return forms.TypedMultipleChoiceField(
        label=label,
        choices=choices,
        initial=list(initial),
        coerce=coerce,
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )


def number(label: str, initial: int | None, least: int = 0, most: int = 1_000_000, *, required: bool = True) -> Any:
    """Return a field of a whole number."""
    return forms.IntegerField(label=label, initial=initial, min_value=least, max_value=most, required=required)


def _role(content: Content, label: Any, initial: str, *, empty: Any) -> forms.Field:
    team = [(row["key"], label_of(row)) for row in content["team_roles"] if row["key"] == "rollback_decision_maker"]
    return forms.ChoiceField(label=label, initial=initial, choices=[("none", empty), *role_names().items(), *team])


def approvals(content: Content) -> Fields:
    """Return the fields of the approval rules: role and number of each, what is removed, and one new rule."""
    found: Fields = {}
    rules = content["approval_rules"]
    for index, rule in enumerate(rules):
        words = rule_label(content, rule)
        found[f"rule__{index}__role"] = _role(
            content, f"{words} – {gettext('role')}", rule["role"], empty=_("no approval needed")
        )
        found[f"rule__{index}__number"] = number(f"{words} – {gettext('number of people')}", rule["number"], most=100)
    tiers = dict.fromkeys(row["tier"] for row in content["environments"])
    names = dict(Environment.Tier.choices)
    where = [("tier:all", _("All")), *((f"tier:{tier}", noted(names[tier], gettext("tier"))) for tier in tiers)]
    where += [(f"environment:{key}", noted(name, gettext("environment"))) for key, name in places(content).items()]
    return found | {
        "removed": several(
            _("rules to remove"), [(n, rule_label(content, r)) for n, r in enumerate(rules)], coerce=int
        ),
        "new_role": _role(content, _("role of a new rule"), "none", empty=_("no new rule")),
        "new_subject": forms.ChoiceField(
            label=_("subject of the new rule"), choices=list(subjects().items()), initial="regular"
        ),
        "new_where": forms.ChoiceField(
            label=_("tier or environment of the new rule"), choices=where, initial="tier:production"
        ),
        "new_stage": number(gettext("stage of the new rule"), 1, 1, 100),
        "new_number": number(gettext("number of people of the new rule"), 1, 0, 100),
        "new_risk": several(
            _("risk classes of the new rule (none: all)"), [(k, str(v)) for k, v in Release.Risk.choices]
        ),
    }


def edit_approvals(content: Content, values: Mapping[str, Any]) -> None:
    """Write these fields into a document."""
    for index, rule in enumerate(content["approval_rules"]):
        rule["role"], rule["number"] = values[f"rule__{index}__role"], values[f"rule__{index}__number"]
        if rule["role"] == "none":
            rule["stage"] = rule["number"] = 0
        elif not rule["stage"]:
            rule["stage"] = 1
    for index in sorted(values["removed"], reverse=True):
        del content["approval_rules"][index]
    if values["new_role"] != "none":
        column, _colon, where = values["new_where"].partition(":")
        new = {
            "subject": values["new_subject"],
            "tier": "",
            column: where,
            "stage": values["new_stage"],
            "role": values["new_role"],
            "number": values["new_number"],
            "origin": "",
        }
        content["approval_rules"].append(new | ({"when": {"risk": values["new_risk"]}} if values["new_risk"] else {}))


def _asked(content: Content, gate: Mapping[str, Any]) -> list[str]:
    named = gate.get("environments", ())
    return [row["key"] for row in content["environments"] if row["tier"] in gate["tiers"] or row["key"] in named]


def gates(content: Content) -> Fields:
    """Return for each gate the environments in which it is checked."""
    where = list(places(content).items())
    return {
        f"gate__{index}": several(label_of(gate), where, _asked(content, gate))
        for index, gate in enumerate(content["gates"])
    }


def edit_gates(content: Content, values: Mapping[str, Any]) -> None:
    """Write these fields into a document: whole tiers as tiers, single environments by their keys."""
    of_tier: dict[str, set[str]] = {}
    for row in content["environments"]:
        of_tier.setdefault(row["tier"], set()).add(row["key"])
    for index, gate in enumerate(content["gates"]):
        chosen = set(values[f"gate__{index}"])
        if chosen == set(_asked(content, gate)):
            continue
        gate["tiers"] = [tier for tier, keys in of_tier.items() if keys <= chosen]
        rest = chosen - {key for tier in gate["tiers"] for key in of_tier[tier]}
        gate["environments"] = [row["key"] for row in content["environments"] if row["key"] in rest]


def steps(content: Content) -> Fields:
    """Return the fields of the steps of all plans: estimate, deadline, and whether each is required."""
    found: Fields = {}
    for plan in PLANS:
        for index, step in enumerate(content["plans"][plan]):
            name, words = f"step__{plan}__{index}", label_of(step)
            found[f"{name}__estimate_seconds"] = number(
                f"{words} – {gettext('estimate in seconds')}", step["estimate_seconds"], 1
            )
            found[f"{name}__deadline_seconds"] = number(
                f"{words} – {gettext('deadline in seconds (empty: ten times the estimate)')}",
                step.get("deadline_seconds"),
                1,
                required=False,
            )
            found[f"{name}__required"] = forms.BooleanField(
                label=f"{words} – {gettext('required')}", initial=step["required"], required=False
            )
    return found


def edit_steps(content: Content, values: Mapping[str, Any]) -> None:
    """Write these fields into a document."""
    for plan in PLANS:
        for index, step in enumerate(content["plans"][plan]):
            for column in ("estimate_seconds", "deadline_seconds", "required"):
                step[column] = values[f"step__{plan}__{index}__{column}"]


def windows(content: Content) -> Fields:
    """Return the fields of the regular window and of the recurring freezes, and of one new freeze."""
    regular, frozen = content["schedule"]["regular"], content.get("freezes", [])
    holiday = [(key, str(name)) for key, name in ChangeWindow.OnHoliday.choices]
    found: Fields = {
        "rrule": text(_("days of the change window (RRULE)"), initial=regular["rrule"]),
        "start": text(_("start of the change window"), initial=regular["start"]),
        "length_minutes": number(gettext("length of the change window in minutes"), regular["length_minutes"], 1),
        "on_holiday": forms.ChoiceField(label=_("on a holiday"), choices=holiday, initial=regular["on_holiday"]),
        "releases_per_window": number(gettext("releases in one window"), regular.get("releases_per_window", 1), 1),
    }
    for index, row in enumerate(frozen):
        words = label_of(row)
        found[f"freeze__{index}__rrule"] = text(f"{words} – {gettext('days (RRULE)')}", initial=row["rrule"])
        found[f"freeze__{index}__length_minutes"] = number(
            f"{words} – {gettext('length in minutes')}", row["length_minutes"], 1
        )
    return found | {
        "removed": several(_("freezes to remove"), [(n, label_of(row)) for n, row in enumerate(frozen)], coerce=int),
        "new_name": text(_("name of a new freeze (empty: none)"), required=False),
        "new_environments": several(_("environments of the new freeze"), list(places(content).items())),
        "new_rrule": text(_("days of the new freeze (RRULE)"), required=False),
        "new_length_minutes": number(gettext("length of the new freeze in minutes"), 1440, 1),
    }


def edit_windows(content: Content, values: Mapping[str, Any]) -> None:
    """Write these fields into a document."""
    regular = content["schedule"]["regular"]
    for column in REGULAR:
        if values[column] != regular.get(column, 1):
            regular[column] = values[column]
    frozen = content.setdefault("freezes", [])
    for index, row in enumerate(frozen):
        row |= {name: values[f"freeze__{index}__{name}"] for name in ("rrule", "length_minutes")}
    for index in sorted(values["removed"], reverse=True):
        del frozen[index]
    if values["new_name"]:
        taken = {row["key"] for row in frozen}
        frozen.append(
            {
                "key": next(key for n in range(1, 1000) if (key := f"freeze_{n}") not in taken),
                **revise.in_each_language(content, values["new_name"]),
                "environments": values["new_environments"],
                "rrule": values["new_rrule"],
                "length_minutes": values["new_length_minutes"],
                "origin": "",
            }
        )
    if not frozen:
        del content["freezes"]


# Part → its label, its fields, and what writes their values.
PARTS: dict[str, tuple[Any, Callable[[Content], Fields], Callable[..., None]]] = {
    "approvals": (_("Change approval rules"), approvals, edit_approvals),
    "gates": (_("Change gates of the environments"), gates, edit_gates),
    "steps": (_("Change steps"), steps, edit_steps),
    "windows": (_("Change windows and freezes"), windows, edit_windows),
}


def fields_of(part: str, instance: Any) -> Fields:
    """Return the fields of a part for a version, with the reason."""
    found = PARTS[part][1](instance.content) if instance is not None else {}
    return {**found, "reason": text(_("reason"))}


def change(pk: int, *, part: str, reason: str, **values: Any) -> Procedure:
    """Change a part of a version by the values of its form: of the one in effect as a draft, of a draft in place."""
    return revise.revise(pk, reason=reason, edit=partial(PARTS[part][2], values=values))
