"""Verbs on versions of the procedure: their way into effect, and the forms that change a part of one."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from django import forms
from django.utils.translation import gettext, gettext_lazy as _

from audit.clock import now
from environments.language import language, listed, noted
from releases.admin.components.trigger_replay import replay_lines
from releases.admin.operations import procedure_forms
from releases.admin.operations.base import Shown, Verb
from releases.admin.operations.fields import reason, text
from releases.admin.operations.people import co_authors
from releases.models import Procedure
from releases.operations.procedure import further, put_into_effect, restore, revise
from releases.procedures.document import Procedure as Content, ProcedureFaults
from releases.procedures.ended import ended_rules
from releases.procedures.load import default_text
from releases.procedures.save import as_text, further_from
from releases.queries.procedure_types import procedure_types

Fields = dict[str, forms.Field]
# Versions that can be changed: the one in effect becomes a new draft, a draft is changed in place.
CHANGEABLE = frozenset({"in_effect", "draft"})


def _label(cell: revise.Cell) -> str:
    """Return the label of a value on the page."""
    name = procedure_forms.label_of(cell.row)
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
        words = revise.in_each_language(Procedure.objects.get(pk=pk).content, new_en) | {"ja": new_ja}
        added = {"checklist": {"key": key, "group": new_group, **words}}
    numbers = [("checklist", number) for number in removed]
    return revise.revise(pk, reason=reason, values=values, removed=numbers, added=added)


def _from_version(instance: Any, query: Mapping[str, str]) -> dict[str, Any]:
    """Return the text of the version that a link names, or of a further procedure that is made from it."""
    pk = query.get("version", "")
    version = Procedure.objects.filter(pk=pk).first() if pk.isdecimal() else None
    if version is None:
        return {}
    content = version.document
    return {"content": as_text(content if query.get("further") is None else further_from(content))}


def _read(content: str) -> Content:
    active = Procedure.objects.of(None)
    return Content.from_toml(content, active.document if active is not None else None, **procedure_types())


def _procedure(instance: Any) -> Fields:
    active = Procedure.objects.of(None)
    shown = as_text(active.document) if active is not None else default_text()
    content = text(_("release procedure (TOML)"), rows=30, initial=shown)
    return {"content": content, "writers": co_authors(), "reason": text(_("reason"))}


def _checked(instance: Any, values: dict[str, Any]) -> list[Shown]:
    """Return the faults of the document, or that it has none; nothing is stored."""
    try:
        content = _read(values["content"])
    except ProcedureFaults as faults:
        return [Shown(fault.place, "failed", fault.message) for fault in faults.faults]
    active = Procedure.objects.filter(state="in_effect", key=content.key).first() or Procedure.objects.of(None)
    if ended := ended_rules(content, now(), active.document if active is not None else None):
        return [Shown("UNTIL", "failed", sentence) for sentence in ended]
    return [Shown(content.version, "passed", gettext("The document has no fault."))]


def _load(*, content: str, writers: Any, reason: str) -> Procedure:
    try:
        return put_into_effect.load(_read(content), reason=reason, writers={person.pk for person in writers})
    except ProcedureFaults as faults:
        raise forms.ValidationError([str(fault) for fault in faults.faults]) from faults


def _moves(instance: Any) -> Fields:
    found = further.open_releases(instance) if isinstance(instance, Procedure) else []
    choices = [(row.pk, noted(row, listed([row.get_state_display(), row.procedure]))) for row in found]
    return {
        "moved": forms.TypedMultipleChoiceField(
            label=_(
                "open releases that will follow the new version; their approval is invalidated, and all others "
                "stay as they are"
            ),
            choices=choices,
            coerce=int,
            required=False,
            widget=forms.CheckboxSelectMultiple,
        ),
        "reason": text(_("reason")),
    }


def _replayed(procedure: Procedure) -> list[tuple[str, str]]:
    """Show what changed triggers would have done in the last monitoring periods, before the procedure is submitted."""
    replayed = put_into_effect.replayed_for(procedure)
    rows = [(gettext("version"), procedure.version)]
    if replayed is None:
        return [*rows, (gettext("changed rollback triggers"), gettext("none"))]
    first, *rest = replay_lines(replayed)
    return [*rows, (gettext("replay of the changed triggers"), first), *(("", line) for line in rest)]


def _submit(pk: int, *, moved: list[int], reason: str) -> Any:
    return put_into_effect.submit(pk, moved=tuple(moved), reason=reason)


on_procedure = partial(Verb, "procedure", rights=("create_procedure",), model=Procedure)
on_values = partial(on_procedure, model=Procedure, states=CHANGEABLE)
VERBS: tuple[Verb, ...] = (
    on_procedure(
        "load",
        _("Create procedure version"),
        _load,
        fields=_procedure,
        fills=_from_version,
        tries=_checked,
        try_label=_("Check document"),
        makes=Procedure,
        model=None,
    ),
    on_procedure("submit", _("Submit for approval"), _submit, fields=_moves, shows=_replayed),
    on_procedure(
        "withdraw_request",
        _("Withdraw request"),
        put_into_effect.withdraw_request,
        fields=reason,
        edge="send_back",
        states=frozenset({"in_review"}),
    ),
    Verb(
        "procedure",
        "request_restore",
        _("Put into effect again"),
        restore.request_restore,
        ("restore_procedure",),
        model=Procedure,
        edge="restore",
        why_not_permitted=restore.why_not_permitted,
        signs=True,
        danger=True,
    ),
    Verb(
        "procedure",
        "withdraw_restore",
        _("Withdraw request"),
        restore.withdraw,
        ("restore_procedure",),
        model=Procedure,
        states=frozenset({"retired"}),
        over=restore.not_requested,
        why_not_permitted=restore.why_not_permitted,
    ),
    on_procedure("discard", _("Discard draft"), put_into_effect.discard, states=frozenset({"draft"}), danger=True),
    on_values("revise_thresholds", _("Change thresholds"), _revise, fields=_fields("thresholds", "triggers")),
    on_values("revise_checklist", _("Change checklist"), _revise_checklist, fields=_checklist),
    *(
        on_values(
            f"revise_{part}",
            label,
            partial(procedure_forms.change, part=part),
            fields=partial(procedure_forms.fields_of, part),
        )
        for part, (label, _shown, _edited) in procedure_forms.PARTS.items()
    ),
)
