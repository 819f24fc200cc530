"""Verbs on approval requests, waivers, follow-up actions, committee meetings, and signatures before T-0."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from django import forms
from django.utils.translation import get_language, gettext as _now, gettext_lazy as _

from environments import access
from environments.attach_related import related
from environments.language import labelled
from environments.models import Account, ConfigurationVersion, Environment
from releases.admin.operations.base import Verb, zone_of
from releases.admin.operations.fields import ZonedDateTimeField, length, reason, row, text
from releases.admin.operations.people import people
from releases.admin.operations.preparation import assign_team, team_fields
from releases.gates import quorum
from releases.models import (
    ApprovalDecision,
    ApprovalRequest,
    ChecklistItem,
    CommitteeMeeting,
    Document,
    FollowUp,
    MeetingDecision,
    Release,
    Waiver,
)
from releases.operations.approval import decide
from releases.operations.checklist import sign
from releases.operations.document import publish, review
from releases.operations.follow_up import complete
from releases.operations.meeting import record
from releases.operations.waiver import decide as waivers, request
from releases.queries.waivable import waivable

Fields = Mapping[str, forms.Field]


def bound_to(digest: str) -> dict[str, forms.Field]:
    """Return the hidden field that carries the digest of what the page showed."""
    shown = forms.CharField(
        label=_("digest of what is shown"),
        initial=digest,
        widget=forms.HiddenInput(),
        max_length=length(ApprovalRequest, "digest"),
    )
    return {"digest": shown}


def _shown(instance: Any) -> dict[str, forms.Field]:
    return bound_to(instance.digest if isinstance(instance, ApprovalRequest) else "")


def _yes(instance: Any) -> Fields:
    fields = {**_shown(instance), "comment": text(_("comment"), required=False)}
    account = access.current_account()
    absent = access.absent_persons_of(account)
    if absent:
        chosen = row(_("on behalf of (none: yourself)"), Account, required=False)
        chosen.queryset = Account.objects.filter(pk__in=[person.pk for person in absent])
        fields["on_behalf_id"] = chosen
    meetings = CommitteeMeeting.objects.filter(
        attendees=account, decisions__release=getattr(instance, "release_id", None)
    )
    if meetings.exists():
        held = row(_("meeting of the decision"), CommitteeMeeting, required=False)
        held.queryset = meetings
        fields["meeting_id"] = held
    return fields


def _conditional(instance: Any) -> Fields:
    return {
        **_yes(instance),
        "condition": text(_("condition that must be met before the start"), most=length(ApprovalDecision, "condition")),
    }


def _refusal(instance: Any) -> Fields:
    return {**_shown(instance), "comment": text(_("comment"))}


def _content(approval_request: ApprovalRequest) -> list[tuple[str, str]]:
    return [(clause, "") for clause in approval_request.document]  # the page shows the clauses themselves


def _standing(approval_request: ApprovalRequest) -> str:
    if approval_request.state != "in_review":
        return _now("All required approvals are given.")
    missing = quorum.words_for(quorum.count(approval_request).standing.missing)
    return _now("Missing: %(missing)s") % {"missing": missing}


def _item(instance: Any) -> Fields:
    shown = sign.digest_of(instance) if isinstance(instance, ChecklistItem) else ""
    return {**bound_to(shown), "evidence": text(_("material reviewed"))}


def _looked_at(item: ChecklistItem) -> list[tuple[str, str]]:
    release = item.release
    chosen = ConfigurationVersion.objects.filter(pk__in=release.configurations.values()).select_related("environment")
    lists = {
        "changes": (
            _("changes"),
            [labelled(c.get_kind_display(), f"{c.text} {c.ticket}").rstrip() for c in release.changes.all()],
        ),
        "configuration": (_("configuration"), [str(row) for row in chosen.order_by("environment__order")]),
    }
    found = []
    for name, value in sign.content_of(release).items():
        if name in lists:
            found.append((str(lists[name][0]), "\n".join(lists[name][1]) or "—"))
            continue
        label = Release._meta.get_field(name).verbose_name  # type: ignore[union-attr]
        shown = getattr(release, f"get_{name}_display", lambda value=value: value)()
        found.append((str(label), str(shown) or "—"))
    return found


def _body(instance: Any) -> Fields:
    return {"body": text(_("text"), rows=16, initial=getattr(instance, "body", ""))}


def _read(instance: Any) -> Fields:
    return {**bound_to(review.digest_of(instance) if isinstance(instance, Document) else ""), **reason(instance)}


def _text(instance: Any) -> list[tuple[str, str]]:
    signature = instance.open_signature if isinstance(instance, Document) else None
    shown = [(str(_("You sign as")), str(signature))] if signature is not None else []
    return [*shown, (str(_("text")), instance.body)]


def _signed_for(state: str, document: Any) -> str:
    signature = document.open_signature
    return "" if signature is not None and signature.for_state == state else review.not_asked(document)


def _signing(document: Any) -> list[tuple[str, Environment | None]]:
    return [(right, None) for right in review.rights_for(document)]


def _waiver(instance: Any) -> Fields:
    japanese = (get_language() or "ja") == "ja"
    found = waivable(instance) if isinstance(instance, Release) else []
    where = row(_("environment"), Environment)
    if isinstance(instance, Release):
        where.queryset = Environment.objects.of(instance.application)
    return {
        "environment_id": where,
        "gate": forms.ChoiceField(
            label=_("gate or milestone"), choices=[(key, ja if japanese else en) for key, ja, en in found]
        ),
        "until": ZonedDateTimeField(
            label=_("until"), zone=zone_of(instance), initial=getattr(instance, "scheduled_end_at", None)
        ),
        "reason": text(_("reason")),
    }


def _meeting(instance: Any) -> Fields:
    return {
        "held_at": ZonedDateTimeField(label=_("held")),
        "attendees": people(_("attendees")),
        "minutes": text(_("minutes"), rows=10),
    }


def _record(*, attendees: Any, **rest: Any) -> CommitteeMeeting:
    return record.record(attendees=tuple(person.pk for person in attendees), **rest)


def _decision(instance: Any) -> Fields:
    chosen = row(_("release"), Release)
    chosen.queryset = Release.objects.filter(state__in=Release.PREPARING)
    return {
        "release_id": chosen,
        "decision": forms.ChoiceField(label=_("decision"), choices=MeetingDecision.Decision.choices),
        "note": text(_("note"), required=False),
    }


def _note(instance: Any) -> Fields:
    return {"note": text(_("completion note"))}


def _asked_of_follow_up(follow_up: FollowUp) -> list[tuple[str, Environment | None]]:
    return [(complete.right_for(follow_up), None)]


def _has_spoken(account: Account, release: Release) -> str:
    live = [request for request in related(release, "approval_requests") if request.state in ApprovalRequest.LIVE]
    return waivers.why_already_decided(account, quorum.spoken_in(live))


LIVE = frozenset(Release.PREPARING)
on_approval = partial(
    Verb,
    "approval",
    model=ApprovalRequest,
    signs=True,
    shows=_content,
    why_not_permitted=partial(decide.why_not_permitted, decision="approve"),
)
on_document = partial(Verb, "document", model=Document)
on_waiver = partial(Verb, "waiver", signs=True, model=Waiver, everywhere=True)
on_meeting = partial(Verb, "meeting", rights=("record_meeting",), signs=True)
VERBS: tuple[Verb, ...] = (
    on_approval(
        "approve",
        _("Approve"),
        decide.approve,
        ("approve", "approve_change", "restore_procedure"),
        fields=_yes,
        edge="mark_approved",
        by_delegate=True,
        result_message=_standing,
    ),
    on_approval(
        "approve_with_condition",
        _("Approve with condition"),
        decide.approve_with_condition,
        ("approve",),
        fields=_conditional,
        edge="mark_approved",
        by_delegate=True,
        result_message=_standing,
    ),
    on_approval(
        "send_back",
        _("Send back"),
        decide.send_back,
        ("send_back",),
        fields=_refusal,
        why_not_permitted=partial(decide.why_not_permitted, decision="send_back"),
    ),
    on_approval(
        "reject",
        _("Reject"),
        decide.reject,
        ("reject", "restore_procedure"),
        fields=_refusal,
        danger=True,
        why_not_permitted=partial(decide.why_not_permitted, decision="reject"),
    ),
    Verb(
        "checklist",
        "sign",
        _("Sign checklist item"),
        sign.sign,
        ("sign_checklist",),
        ChecklistItem,
        fields=_item,
        signs=True,
        shows=_looked_at,
    ),
    on_document(
        "edit",
        _("Write document"),
        review.write,
        ("edit_document",),
        fields=_body,
        states=frozenset({"draft", "content_checked", "approved", "ready_to_publish"}),
    ),
    on_document(
        "check_content",
        _("Check content"),
        review.check_content,
        (*review.CHECKING, "edit_document", "sign_document"),
        fields=_read,
        over=partial(_signed_for, "content_checked"),
        asked=_signing,
        signs=True,
        shows=_text,
        why_not_permitted=review.why_not_permitted,
    ),
    on_document(
        "approve",
        _("Approve"),
        review.approve,
        (*review.APPROVING, "edit_document", "sign_document"),
        fields=_read,
        over=partial(_signed_for, "approved"),
        asked=_signing,
        signs=True,
        shows=_text,
        why_not_permitted=review.why_not_permitted,
    ),
    on_document(
        "retry_publication",
        _("Publish again"),
        publish.publish_again,
        ("edit_document", "approve_document"),
        states=frozenset({"ready_to_publish"}),
        why_not_permitted=publish.not_due,
    ),
    on_document(
        "prepare_publication",
        _("Prepare publication"),
        review.prepare_publication,
        ("edit_document", "approve_document"),
        fields=_read,
        shows=_text,
    ),
    Verb(
        "team",
        "assign",
        _("Assign release team"),
        assign_team,
        ("assign_team",),
        Release,
        fields=team_fields,
        states=LIVE,
        signs=True,
    ),
    on_waiver(
        "request",
        _("Request waiver"),
        request.request_waiver,
        ("request_waiver",),
        model=Release,
        fields=_waiver,
        states=LIVE,
        why_not_permitted=_has_spoken,
        everywhere=False,
    ),
    on_waiver(
        "confirm",
        _("Confirm waiver"),
        waivers.approve,
        ("confirm_waiver",),
        danger=True,
        why_not_permitted=waivers.why_not_permitted,
    ),
    on_waiver("reject", _("Reject waiver"), waivers.reject, ("confirm_waiver",), why_not_permitted=waivers.not_second),
    on_waiver("revoke", _("Revoke waiver"), waivers.revoke, ("confirm_waiver", "request_waiver")),
    Verb(
        "follow_up",
        "complete",
        _("Complete follow-up action"),
        complete.complete,
        ("complete_follow_up", "approve"),
        FollowUp,
        fields=_note,
        signs=True,
        asked=_asked_of_follow_up,
        why_not_permitted=complete.why_not_permitted,
    ),
    on_meeting("record", _("Record meeting"), _record, fields=_meeting, makes=CommitteeMeeting),
    on_meeting("decide", _("Record decision"), record.decide, model=CommitteeMeeting, fields=_decision),
)
