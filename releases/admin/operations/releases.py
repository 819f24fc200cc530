"""Verbs on a release itself, and the upload of evidence about its source."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from django import forms
from django.utils.translation import gettext, gettext_lazy as _

from environments import access
from environments.language import language
from environments.models import Account, Application, Environment
from releases import evidence_readers as reading
from releases.admin.operations import commit, source
from releases.admin.operations.base import Verb
from releases.admin.operations.fields import FilesField, ZonedDateTimeField, length, row, text
from releases.admin.operations.preparation import (
    beside,
    choose_configurations,
    configuration_fields,
    copied_fields,
    copy_to,
    postpone_fields,
    reschedule_to,
    set_start,
    start_fields,
)
from releases.gates.evidence import count_with
from releases.models import ChangeEntry, Evidence, Procedure, Release
from releases.models.waiver import NOTIFICATIONS_SENT
from releases.operations.approval import submit
from releases.operations.change_entry import edit as change_entries
from releases.operations.deployment import request
from releases.operations.evidence import upload
from releases.operations.release import (
    end_incomplete,
    plan,
    prepare,
    read_merge_requests,
    refresh_from_git,
    sign_final_check,
)
from releases.operations.release.withdraw_request import withdraw_request
from releases.queries.step_plan import production_of
from releases.queries.suggested_changes import suggested_changes

Fields = Mapping[str, forms.Field]
Asked = list[tuple[str, Environment | None]]
LEFT_OUT = [("", _("leave out")), *ChangeEntry.Kind.choices]
EVIDENCE_KINDS = [(name, reading.LABELS[name]) for name in reading.NAMES]


def _plan(instance: Any) -> Fields:
    plan.active_procedure()
    contents = [row.document for row in Procedure.objects.filter(state="in_effect").order_by("key")]
    conditional = {
        kind: {row.key: row.label(language()) for content in reversed(contents) for row in content.criteria(kind)}
        for kind in (Release.Kind.EMERGENCY, Release.Kind.STANDARD)
    }
    kinds = [choice for choice in Release.Kind.choices if conditional.get(Release.Kind(choice[0]), True)]
    criteria = [choice for labels in conditional.values() for choice in labels.items()]
    return {
        "application_id": row(_("application"), Application),
        "version": source.with_hint(text(_("version"), most=length(Release, "version"))),
        "title": text(_("title"), most=length(Release, "title")),
        "kind": forms.ChoiceField(label=_("type"), choices=kinds),
        "criterion": forms.ChoiceField(
            label=_("emergency criterion or standard change"), required=False, choices=[("", "—"), *criteria]
        ),
        "start": ZonedDateTimeField(label=_("T-0"), required=False),
    }


def _copy(instance: Any) -> Fields:
    return {
        "version": source.with_hint(text(_("version"), most=length(Release, "version")), instance),
        "title": text(_("title (empty: the same with the new version)"), required=False, most=length(Release, "title")),
        "with_changes": forms.BooleanField(label=_("copy change entries as well"), required=False),
        **copied_fields(instance),
        "reason": text(_("reason"), required=False),
    }


def _edit(instance: Any) -> Fields:
    fields: dict[str, forms.Field] = {}
    for name in ("title", *Release.APPLICATION_FIELDS):
        model_field = Release._meta.get_field(name)
        fields[name] = (
            forms.ChoiceField(label=_("risk class"), choices=Release.Risk.choices)
            if name == "risk"
            else text(
                model_field.verbose_name,  # type: ignore[union-attr]
                rows=0 if name in ("title", "ticket") else 3,
                most=length(Release, name),
            )
        )
    fields["rollback_pre_authorised"] = forms.BooleanField(label=_("pre-authorised rollback"), required=False)
    fields["data_loss_limit"] = forms.IntegerField(
        label=_("data loss limit (rows)"), min_value=0, max_value=2**31 - 1, initial=0
    )
    fields["rollback_on_failure"] = forms.BooleanField(
        label=_("also roll back when a required step or check of the production deployment fails"),
        required=False,
        help_text=_("The rollback then starts by itself. A step whose outcome is unknown still asks a person."),
    )
    fields["on_timeout"] = forms.ChoiceField(
        label=_("if no one responds"), choices=[("roll_back", _("roll back")), ("keep", _("keep"))]
    )
    for name, shown in fields.items():
        shown.initial = getattr(instance, name, shown.initial)
    return fields


def _do_edit(pk: int, **fields: Any) -> Release:
    return plan.edit(pk, fields=fields)


def _change(instance: Any) -> Fields:
    known = instance if isinstance(instance, ChangeEntry) else ChangeEntry()
    kind = forms.ChoiceField(label=_("type"), choices=[("", "—"), *ChangeEntry.Kind.choices], initial=known.kind)
    return {
        "kind": kind,
        "text": text(_("change entry"), most=length(ChangeEntry, "text"), initial=known.text),
        "ticket": text(_("ticket"), required=False, most=length(ChangeEntry, "ticket"), initial=known.ticket),
    }


def _no_draft(release: Release) -> str:
    return "" if release.state == "draft" else gettext("Only a draft can be edited. Reopen the scope first.")


def _suggested(instance: Any) -> Fields:
    """Return the fields of one change for each merge request that no entry names yet."""
    fields: dict[str, forms.Field] = {}
    for one in suggested_changes(instance) if isinstance(instance, Release) else ():
        kind = forms.ChoiceField(label=f"#{one.number} {_('type')}", choices=LEFT_OUT, required=False)
        kind.initial = one.kind
        ticket = text(_("ticket"), required=False, most=length(ChangeEntry, "ticket"), initial=one.ticket)
        words = text(_("change entry"), required=False, most=length(ChangeEntry, "text"), initial=one.text)
        fields |= {f"kind_{one.number}": kind, f"text_{one.number}": words, f"ticket_{one.number}": ticket}
    return fields


def _add_suggested(pk: int, **given: str) -> Release:
    numbers = [name.removeprefix("kind_") for name, kind in given.items() if name.startswith("kind_") and kind]
    rows = [(given[f"kind_{n}"], given[f"text_{n}"], given[f"ticket_{n}"]) for n in numbers]
    return plan.add_changes(pk, entries=rows)


def _test_types() -> list[tuple[str, str]]:
    """Return the test types of all procedures; the organisation's label counts where several have a key."""
    rows = Procedure.objects.filter(state="in_effect").order_by("-key")
    types = {one.key: one.label(language()) for row in rows for one in row.document.testing.types}
    return [("", "—"), *types.items()]


def _evidence(instance: Any) -> Fields:
    fields: dict[str, forms.Field] = {
        "environment_id": row(_("environment"), Environment),
        "kind": forms.ChoiceField(label=_("type"), choices=EVIDENCE_KINDS),
        "test_type": forms.ChoiceField(label=_("test type"), choices=_test_types(), required=False),
        "suite": text(_("suite"), required=False, most=length(Evidence, "suite")),
        "commit": text(_("commit")),
        "files": FilesField(
            label=_("files"), help_text=_("All of the files are uploaded, or none if one cannot be read.")
        ),
    }
    fields["suite"].help_text = _(
        "The suite tells reports of the same type apart. If this field is empty, the file name does."
    )
    return fields


def _upload(pk: int, *, files: Any, **rest: Any) -> Any:
    upload.check_amount([file.size for file in files])
    return upload.upload(pk, files=[(file.name, b"".join(file.chunks())) for file in files], **rest)[-1]


def _environment(instance: Any) -> Fields:
    where = row(_("environment"), Environment)
    if isinstance(instance, Release):
        places = _places_for(access.current_account(), instance)
        where.queryset = Environment.objects.filter(pk__in=[place.pk for place in places])
        if instance.state in Release.MAY_RUN["production"]:
            begun = instance.deployments.exclude(started_at=None).values_list("environment", flat=True)
            production = [place.pk for place in places if place.tier == Environment.Tier.PRODUCTION]
            where.initial = next((pk for pk in production if pk not in begun), None)
    return {"environment_id": where}


def _places_for(account: Account, release: Release) -> list[Environment]:
    return [e for e in release.places if access.may(account, request.right_for(e), e, release.application_id)]


def _permission_to_deploy(release: Release) -> Asked:
    return [(request.right_for(place), place) for place in release.places]


def _asked_of_source(release: Release) -> Asked:
    return [(right, place) for place in (None, *release.places) for right in refresh_from_git.RIGHTS]


def _asked_of_check(release: Release) -> Asked:
    return [("sign_final_check", place) for place in release.destinations[:1]]


def _final(release: Release) -> list[tuple[str, str]]:
    facts = sign_final_check.facts_now(release)
    announced = sign_final_check.announcement_of(release, production_of(release))
    groups = [(group.group, group.words) for group in announced.groups]
    items = zip(facts, sign_final_check.labels(release, list(facts)), strict=True)
    why = {NOTIFICATIONS_SENT: f" · {announced.why}"}
    found = [(label, f"{sign_final_check.words_of_item(facts[key])}{why.get(key, '')}") for key, label in items]
    return found + groups


PLAN, PREPARE = ("plan",), ("prepare",)
on_release = partial(Verb, "release", model=Release)
on_draft = partial(on_release, states=frozenset({"draft"}))
on_change = partial(Verb, "change_entry", model=ChangeEntry, over=lambda entry: _no_draft(entry.release))
VERBS: tuple[Verb, ...] = (
    on_release("plan", _("Plan a release"), plan.plan, PLAN, fields=_plan, makes=Release, model=None),
    on_release("copy", _("Copy to new release"), copy_to, PLAN, fields=_copy),
    on_draft("edit", _("Edit release"), _do_edit, ("plan", "prepare"), fields=_edit),
    on_draft(
        "select_commit",
        _("Select commit"),
        commit.select,
        ("plan", "prepare"),
        fields=commit.fields,
        preview=commit.preview,
        looks=True,
        beside=("expected_commit", "accept_rolled_back"),
    ),
    on_draft("add_change_entry", _("Add change entry"), plan.add_change, ("edit_changes", "plan"), fields=_change),
    on_draft(
        "add_change_entries",
        _("Add suggested changes"),
        _add_suggested,
        ("edit_changes", "plan"),
        fields=_suggested,
        over=lambda release: "" if suggested_changes(release) else gettext("No merge request suggests a change."),
    ),
    on_change("edit", _("Edit change entry"), change_entries.edit, ("edit_changes", "plan"), fields=_change),
    on_change("remove", _("Remove change entry"), change_entries.remove, ("edit_changes", "plan"), danger=True),
    on_draft(
        "set_configuration",
        _("Choose configuration"),
        choose_configurations,
        ("plan", "prepare"),
        fields=configuration_fields,
    ),
    on_release(
        "set_scheduled_start",
        _("Set scheduled start"),
        set_start,
        PLAN,
        fields=start_fields,
        preview=beside,
        warns=True,
        states=frozenset({"draft", "scope_locked", "testing_completed"}),
    ),
    on_release("lock_scope", _("Lock scope"), prepare.lock_scope, PREPARE),
    on_release(
        "refresh_from_git",
        _("Refresh from Git"),
        read_merge_requests.refresh,
        refresh_from_git.RIGHTS,
        states=frozenset(Release.PREPARING),
        asked=_asked_of_source,
    ),
    on_release("complete_testing", _("Complete testing"), prepare.complete_testing, PREPARE),
    on_release("close", _("Close without production"), prepare.close, PREPARE),
    on_release("submit", _("Submit for approval"), submit.submit, PREPARE),
    on_release("withdraw_request", _("Withdraw request"), withdraw_request, PREPARE),
    on_release("reopen_scope", _("Reopen scope"), prepare.reopen_scope, PREPARE, danger=True),
    on_release(
        "reschedule",
        _("Reschedule"),
        reschedule_to,
        PREPARE,
        fields=postpone_fields,
        preview=beside,
        warns=True,
        danger=True,
    ),
    on_release(
        "end_incomplete",
        _("End without the remaining environments"),
        end_incomplete.end_incomplete,
        PREPARE,
        edge="fail",
        danger=True,
        why_not_permitted=end_incomplete.why_not_permitted,
    ),
    on_release("cancel", _("Cancel release"), prepare.cancel, PREPARE, danger=True),
    on_release(
        "sign_final_check",
        _("Sign final check"),
        sign_final_check.sign,
        ("sign_final_check",),
        edge="complete_final_check",
        signs=True,
        shows=_final,
        asked=_asked_of_check,
        why_not_permitted=sign_final_check.why_not_permitted,
    ),
    Verb(
        "evidence",
        "upload",
        _("Upload evidence"),
        _upload,
        ("upload_evidence",),
        Application,
        fields=_evidence,
        result_message=lambda made: count_with(made).sentence,
    ),
    Verb(
        "deployment",
        "request",
        _("Request deployment"),
        request.request,
        ("request", "schedule"),
        Release,
        fields=_environment,
        states=frozenset({*Release.PREPARING, "releasing"}),
        asked=_permission_to_deploy,
    ),
)
