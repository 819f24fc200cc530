"""Verbs that change values of the procedure on a page: thresholds, the checklist, the approval rules."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.utils.translation import gettext, gettext_lazy as _

from environments.language import language
from environments.roles import ROLE_CHOICES
from releases.admin.operations.base import Verb, text
from releases.models import ApprovalRequest, Procedure
from releases.operations.procedure import revise

Fields = dict[str, forms.Field]
# Versions that can be changed: the one in effect becomes a new draft, a draft is changed in place.
CHANGEABLE = frozenset({"in_effect", "draft"})


def _label(cell: revise.Cell) -> str:
    """Return the label of a value on the page."""
    row = cell.row
    if cell.part == "approval_rules":
        subject = dict(ApprovalRequest.Subject.choices).get(row["subject"], row["subject"])
        text = gettext("%(subject)s, %(tier)s, stage %(stage)d")
        place = text % {"subject": subject, "tier": row["tier"], "stage": row["stage"]}
        return f"{place} – {gettext('role') if cell.column == 'role' else gettext('number of people')}"
    name = str(row[language()] if language() in row else row["en"])
    columns = {
        "limit": gettext("fires at"),
        "k": gettext("number of measurements over the limit"),
        "n": gettext("number of last measurements"),
        "ja": gettext("Japanese"),
        "en": gettext("English"),
    }
    return f"{name} – {columns[cell.column]}" if cell.column in columns else name


def _field(cell: revise.Cell) -> forms.Field:
    options: dict[str, Any] = {"label": _label(cell), "initial": cell.value}
    if cell.column == "role":
        roles = [(key, name) for key, name in ROLE_CHOICES if key != "none"]
        return forms.ChoiceField(choices=[("none", _("no approval needed")), *roles], **options)
    if isinstance(cell.value, int):
        return forms.IntegerField(min_value=0, max_value=1000, **options)
    return forms.CharField(max_length=200, **options)


def _fields(*parts: str) -> Callable[[Any], Fields]:
    def fields(instance: Any) -> Fields:
        found = {cell.name: _field(cell) for cell in revise.cells(instance.content, parts)} if instance else {}
        return {**found, "reason": text(_("reason"))}

    return fields


def _checklist(instance: Any) -> Fields:
    found = _fields("checklist")(instance)
    rows = instance.content["checklist"] if instance else []
    named = [(number, row[language()] if language() in row else row["en"]) for number, row in enumerate(rows)]
    reason = found.pop("reason")
    return {
        **found,
        "removed": forms.TypedMultipleChoiceField(
            label=_("items to remove"), choices=named, coerce=int, required=False, widget=forms.CheckboxSelectMultiple
        ),
        "new_ja": text(_("new item in Japanese"), required=False),
        "new_en": text(_("new item in English"), required=False),
        "new_group": forms.ChoiceField(
            label=_("checklist section of the new item"),
            choices=[("requirements", _("Requirements")), ("technical", _("Technical"))],
        ),
        "reason": reason,
    }


def _revise(pk: int, *, reason: str, **values: Any) -> Procedure:
    return revise.revise(pk, reason=reason, values=values)


def _revise_checklist(
    pk: int, *, reason: str, removed: list[int], new_ja: str, new_en: str, new_group: str, **values: Any
) -> Procedure:
    added = {}
    if new_ja or new_en:
        if not (new_ja and new_en):
            raise forms.ValidationError(_("Write the new item in Japanese and in English."))
        taken = {row["key"] for row in Procedure.objects.get(pk=pk).content["checklist"]}
        key = next(key for number in range(1, 1000) if (key := f"item_{number}") not in taken)
        added = {"checklist": {"key": key, "group": new_group, "ja": new_ja, "en": new_en}}
    numbers = [("checklist", number) for number in removed]
    return revise.revise(pk, reason=reason, values=values, removed=numbers, added=added)


VERBS: tuple[Verb, ...] = tuple(
    Verb("procedure", name, label, operation, ("create_procedure",), Procedure, fields, states=CHANGEABLE)
    for name, label, operation, fields in (
        ("revise_thresholds", _("Change thresholds"), _revise, _fields("thresholds", "triggers")),
        ("revise_checklist", _("Change checklist"), _revise_checklist, _checklist),
        ("revise_approvals", _("Change approval rules"), _revise, _fields("approval_rules")),
    )
)
