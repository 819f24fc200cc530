"""Verbs on deployment processes: a new version of an application's, and its way into effect."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from django import forms
from django.utils.translation import gettext, gettext_lazy as _

from environments.language import noted
from environments.models import Application
from releases.admin.components.trigger_replay import replay_lines
from releases.admin.operations import process_forms
from releases.admin.operations.base import Shown, Verb
from releases.admin.operations.fields import must, text
from releases.admin.operations.people import co_authors
from releases.admin.pages.deployment_process.page import LABELS, template_text
from releases.models import DeploymentProcess, Release
from releases.operations.deployment_process import create, put_into_effect
from releases.operations.release import use_process
from releases.procedures.document import ProcedureFaults
from releases.procedures.save import as_text

Fields = Mapping[str, forms.Field]


def _fields(instance: Any) -> Fields:
    current = DeploymentProcess.current(instance.pk) if isinstance(instance, Application) else None
    shown = as_text(current.document) if current is not None else template_text("service-with-database", instance)
    content = text(_("deployment process (TOML)"), rows=30, initial=shown)
    return {"content": content, "writers": co_authors(), "reason": text(_("reason"))}


def _from_template(instance: Any, query: Mapping[str, str]) -> dict[str, Any]:
    name = query.get("template", "")
    return {"content": template_text(name, instance)} if name in LABELS else {}


def _checked(instance: Any, values: dict[str, Any]) -> list[Shown]:
    """Return the faults of the document, or that it has none; nothing is stored."""
    try:
        process_forms.read(instance, values["content"])
    except ProcedureFaults as faults:
        return [Shown(fault.place, "failed", fault.message) for fault in faults.faults]
    return [Shown(str(instance), "passed", gettext("The document has no fault."))]


def _create(pk: int, *, content: str, writers: Any, reason: str) -> DeploymentProcess:
    try:
        process = process_forms.read(Application.objects.get(pk=pk), content)
        wrote = {person.pk for person in writers}
        return create.create(application_id=pk, content=process, reason=reason, writers=wrote)
    except ProcedureFaults as faults:
        raise forms.ValidationError([str(fault) for fault in faults.faults]) from faults


def _replayed(process: DeploymentProcess) -> list[tuple[str, str]]:
    """Show what changed triggers would have done in the last monitoring periods, and which releases follow."""
    rows = [
        (gettext("open releases that will follow the new version"), str(row))
        for row in put_into_effect.following(process)
    ]
    replayed = put_into_effect.replayed_for(process)
    if replayed is None:
        return [*rows, (gettext("changed rollback triggers"), gettext("none"))]
    first, *rest = replay_lines(replayed)
    return [*rows, (gettext("replay of the changed triggers"), first), *(("", line) for line in rest)]


def _versions(instance: Any) -> Fields:
    rows = DeploymentProcess.objects.filter(state__in=["draft", "in_review", "in_effect"])
    rows = rows.filter(application=instance.application_id) if isinstance(instance, Release) else rows.none()
    choices = [(row.pk, noted(row.number, row.get_state_display())) for row in rows]
    return {
        "process_id": forms.TypedChoiceField(label=_("version of the deployment process"), choices=choices, coerce=int),
        "reason": text(_("reason"), required=False),
    }


on_process = partial(Verb, "deployment_process", rights=("create_process",), model=DeploymentProcess)
VERBS: tuple[Verb, ...] = (
    Verb(
        "deployment_process",
        "create",
        _("Create deployment process version"),
        _create,
        ("create_process",),
        model=Application,
        fields=_fields,
        fills=_from_template,
        tries=_checked,
        try_label=_("Check document"),
    ),
    *(
        on_process(
            f"revise_{part}",
            label,
            partial(process_forms.change, part=part),
            fields=partial(process_forms.fields_of, part),
            over=partial(process_forms.of_the_procedure, part),
            states=process_forms.CHANGEABLE,
        )
        for part, (label, _shown, _edited) in process_forms.PARTS.items()
    ),
    on_process("submit", _("Submit for approval"), put_into_effect.submit, fields=must, shows=_replayed),
    on_process(
        "withdraw_request",
        _("Withdraw request"),
        put_into_effect.withdraw_request,
        edge="send_back",
        states=frozenset({"in_review"}),
    ),
    on_process("discard", _("Discard draft"), put_into_effect.discard, states=frozenset({"draft"}), danger=True),
    Verb(
        "release",
        "use_process",
        _("Choose deployment process version"),
        use_process.use_process,
        ("plan", "prepare"),
        model=Release,
        fields=_versions,
        states=frozenset({"draft"}),
        over=lambda release: "" if release.process_id else gettext("The application has no deployment process."),
    ),
)
