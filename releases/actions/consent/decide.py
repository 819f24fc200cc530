"""approval:approve, approve_with_condition, send_back, reject: one person's word, bound to the content that was shown.

A word is given in one's own name; a deputy gives it for somebody who is away, and the two count once (J1).
"""

from dataclasses import dataclass
from datetime import timedelta

from django.utils.translation import gettext as _

from audit.change import Act, change
from audit.clock import now
from audit.refusals import GateClosed, Invalid, NotYou, WrongState
from environments import access
from environments.language import labelled
from environments.models import Account, ChangeWindow, Environment
from releases.actions.consent.end import end_conditions
from releases.actions.obligation.incur import incur
from releases.actions.procedure import activate
from releases.actions.release.prepare import done_milestone, require_in_time
from releases.gates import authorship, ledger, quorum
from releases.gates.base import procedure_of
from releases.gates.content import clause_labels, difference, digest, document
from releases.letters.events import ANNOUNCE
from releases.models import (
    ApprovalDecision,
    ApprovalRequest,
    CommitteeMeeting,
    EmergencyStop,
    MeetingDecision,
    Procedure,
    Release,
)


def approve(
    round_id: int, *, digest: str, comment: str = "", on_behalf_id: int | None = None, meeting_id: int | None = None
) -> ApprovalRequest:
    """Approve. `digest` is what the page showed; with the last missing approval the round is granted.

    on_behalf_id: whom one deputises for; meeting_id: the committee's meeting that decided so.
    """
    with change("approval:approve", *_targets(round_id), reason=comment, sign=True) as act:
        round_ = _open_round(act, round_id, digest)
        _say_yes(act, round_, _voice(round_, on_behalf_id), meeting_id, comment)
    return round_


def approve_with_condition(
    round_id: int,
    *,
    digest: str,
    condition: str,
    comment: str = "",
    on_behalf_id: int | None = None,
    meeting_id: int | None = None,
) -> ApprovalRequest:
    """条件付き承認: approve, and owe a condition that blocks the start until a committee member settles it."""
    with change("approval:approve_with_condition", *_targets(round_id), reason=comment, sign=True) as act:
        round_ = _open_round(act, round_id, digest)
        if round_.release_id is None:
            raise Invalid(_("Only a release can be approved with a condition."))
        if not condition.strip():
            raise Invalid(_("Name the condition."))
        _say_yes(act, round_, _voice(round_, on_behalf_id), meeting_id, comment, condition.strip())
        release, environment = act.get(Release), round_.environment
        zone = environment.zone if environment is not None else "UTC"
        obligation = incur(release, "condition", now(), zone, about=condition.strip(), blocks="start")
        act.details["obligation"] = obligation.pk
    return round_


def send_back(round_id: int, *, digest: str, comment: str) -> ApprovalRequest:
    """差戻し: send the release back to be changed; needs a comment."""
    return _refuse(round_id, digest, comment, ApprovalDecision.Decision.SEND_BACK)


def reject(round_id: int, *, digest: str, comment: str) -> ApprovalRequest:
    """却下: say no for good; needs a comment."""
    return _refuse(round_id, digest, comment, ApprovalDecision.Decision.REJECT)


def _refuse(round_id: int, digest: str, comment: str, meaning: ApprovalDecision.Decision) -> ApprovalRequest:
    with change(f"approval:{meaning}", *_targets(round_id), reason=comment, sign=True) as act:
        round_ = _open_round(act, round_id, digest)
        voice = _voice(round_, None)
        if not comment.strip():
            raise Invalid(_("Enter a reason."))
        _word(act, round_, voice, meaning, comment)
        if meaning == ApprovalDecision.Decision.REJECT:
            round_.reject()
        else:
            round_.send_back()
        round_.ended_at = now()
        if round_.release_id is not None:
            release = act.get(Release)
            release.reject() if meaning == ApprovalDecision.Decision.REJECT else release.send_back()
            end_conditions(release)
        if round_.window_id is not None:
            act.get(ChangeWindow).cancelled_at = now()
        if round_.procedure_id is not None:
            procedure = act.get(Procedure, round_.procedure_id)
            procedure.discard() if meaning == ApprovalDecision.Decision.REJECT else procedure.send_back()
    return round_


def _targets(round_id: int) -> list[tuple[type, int]]:
    rows = {Release: "release", ChangeWindow: "window", Procedure: "procedure", EmergencyStop: "emergency_stop"}
    row = ApprovalRequest.objects.filter(pk=round_id).values(*rows.values(), "document").first()
    if row is None:
        raise Invalid(_("This approval request does not exist."))
    targets: list[tuple[type, int]] = [(ApprovalRequest, round_id)]
    targets += [(model, row[name]) for model, name in rows.items() if row[name] is not None]
    if row["procedure"] is not None:
        # In the same act it writes the environments, the releases that it takes over, what it replaces, and its rivals.
        targets += [(Release, pk) for pk, _name in row["document"].get("moved", [])]
        targets += [(Environment, pk) for pk in Environment.objects.values_list("pk", flat=True)]
        targets += [(Procedure, pk) for pk in Procedure.objects.filter(state="in_effect").values_list("pk", flat=True)]
        others = ApprovalRequest.objects.filter(procedure__isnull=False, state="in_review").exclude(pk=round_id)
        for other, procedure in others.values_list("pk", "procedure"):
            targets += [(ApprovalRequest, other), (Procedure, procedure)]
    return targets


def _open_round(act: Act, round_id: int, shown: str) -> ApprovalRequest:
    round_ = act.get(ApprovalRequest, round_id)
    if round_.state != "in_review":
        text = _("This approval request is “%(state)s”, so no approval decision is possible.")
        raise WrongState(text % {"state": round_.get_state_display()})
    if shown != round_.digest:
        raise GateClosed(_("The content shown to you differs from the content submitted for approval. Read it again."))
    return round_


@dataclass(frozen=True)
class Voice:
    """Who speaks, for whom (None: himself), with which roles."""

    account: Account
    absent: Account | None
    roles: set[str]


def _voice(round_: ApprovalRequest, on_behalf_id: int | None) -> Voice:
    """Return whose word this is; raises NotYou when it cannot count."""
    verb = quorum.right_for(round_)
    account = access.current_account()
    if account.kind != Account.Kind.PERSON:
        raise NotYou(_("A service account cannot make an approval decision."))
    absent = None
    if on_behalf_id is not None:
        absent = next((a for a in access.deputies_of(account) if a.pk == on_behalf_id), None)
        if absent is None:
            raise NotYou(_("You are not the delegate of this person now."))
        if not access.may(absent, verb, round_.environment):
            text = _("%(name)s, whom you represent, does not have permission to approve this.")
            raise NotYou(text % {"name": absent})
        access.require_part()
    else:
        access.require(verb, round_.environment)
    where = quorum.count(round_)
    if why := _silent(account, where):
        raise NotYou(why)
    if absent is not None and (why := _silent(absent, where)):
        raise NotYou(labelled(absent, why))
    roles = access.roles_of(absent or account, round_.environment)
    if not where.standing.wanted & roles:
        raise NotYou(_("The current approval stage does not need a decision from your role."))
    return Voice(account, absent, roles)


def not_yours(account: Account, round_: ApprovalRequest) -> str:
    """Return why a person gives no word in a round, for himself or as a deputy; empty when he may."""
    return _silent(account, quorum.shown(round_))


def _silent(person: Account, where: quorum.Count) -> str:
    if duty := where.kept_out.get(person.person_key):
        return authorship.refusal(duty)
    return _("You have already made your approval decision on this request.") if person.is_among(where.spoken) else ""


def _say_yes(
    act: Act, round_: ApprovalRequest, voice: Voice, meeting_id: int | None, comment: str, condition: str = ""
) -> None:
    if round_.release is not None:
        # An address taken from an account after the application would let its owner approve his own commits.
        authorship.require_known_authors(round_.release)
    if round_.subject in (ApprovalRequest.Subject.REGULAR, ApprovalRequest.Subject.EXTRA_WINDOW):
        ledger.require(round_.environment)
    _same_content(round_)
    before = quorum.count(round_).standing
    meaning = ApprovalDecision.Decision.APPROVE_WITH_CONDITION if condition else ApprovalDecision.Decision.APPROVE
    _word(act, round_, voice, meaning, comment, condition=condition, meeting=_meeting(round_, voice, meeting_id))
    # Asked again of everybody: who approved before may have got a duty in it, or have lost the role, since.
    after = quorum.count(round_).standing
    if after.met:
        _grant(act, round_)
    elif after.stage != before.stage:
        act.details.update(round=round_.pk, stage=after.stage)
        act.tell("approval:request")


def _meeting(round_: ApprovalRequest, voice: Voice, meeting_id: int | None) -> CommitteeMeeting | None:
    if meeting_id is None:
        return None
    meeting = CommitteeMeeting.objects.filter(pk=meeting_id, attendees=voice.account).first()
    if meeting is None:
        raise Invalid(_("You did not attend that meeting."))
    if not meeting.decisions.filter(release=round_.release_id, decision__in=MeetingDecision.FOR).exists():
        raise Invalid(_("That meeting did not decide in favour of this release."))
    return meeting


def _same_content(round_: ApprovalRequest) -> None:
    if round_.valid_until is not None and now() >= round_.valid_until:
        raise GateClosed(_("The approval request expired at the end of its change window."))
    if round_.procedure is not None and round_.document["base"] != activate.in_force():
        text = _("Another version of the release procedure has taken effect since then. Submit for approval again.")
        raise GateClosed(text)
    release = round_.release
    if release is None or round_.environment is None:
        return
    present = document(release, round_.environment)
    if digest(present) != round_.digest:
        key = difference(round_.document, present)
        text = _("The approval request is no longer valid, because “%(key)s” has changed.")
        raise GateClosed(text % {"key": clause_labels().get(key, key)})


def _word(
    act: Act,
    round_: ApprovalRequest,
    voice: Voice,
    meaning: ApprovalDecision.Decision,
    comment: str,
    *,
    condition: str = "",
    meeting: CommitteeMeeting | None = None,
) -> None:
    act.details["on_behalf"] = str(voice.absent) if voice.absent is not None else ""
    ApprovalDecision.objects.create(
        approval_request=round_,
        account=voice.account,
        on_behalf=voice.absent,
        meeting=meeting,
        decision=meaning,
        roles=sorted(voice.roles),
        digest=round_.digest,
        comment=comment,
        condition=condition[:200],
        signature=act.signature(str(meaning), round_.digest, role=", ".join(sorted(voice.roles))),
        at=now(),
    )


def _grant(act: Act, round_: ApprovalRequest) -> None:
    round_.mark_approved()
    if round_.release_id is not None:
        act.tell("approval:mark_approved")
        release = act.get(Release)
        require_in_time(release, "approve")
        release.mark_approved()
        done_milestone(release, "approve", None)
        # The final check asks whether everybody was reached, so the announcement goes out before it.
        act.tell_also(ANNOUNCE, release, round=round_.pk)
        if release.kind == Release.Kind.EMERGENCY:
            # An emergency's consent holds for hours from its T-0 on, in the place of a window.
            hours = procedure_of(release).schedule.emergency.validity_hours
            begins = max(now(), release.scheduled_start_at or now())
            release.window_end = round_.valid_until = begins + timedelta(hours=hours)
    if round_.window_id is not None:
        act.get(ChangeWindow).in_effect_at = now()
    if round_.emergency_stop_id is not None:
        switch = act.get(EmergencyStop)
        switch.lifted_at = now()
        act.tell_also("emergency_stop:lift", switch)
    if round_.procedure_id is not None:
        procedure = act.get(Procedure, round_.procedure_id)
        activate.end_other_applications(round_)
        for pk, _name in round_.document["moved"]:
            activate.move_over(act, act.get(Release, pk), procedure)
        activate.put_in_force(procedure)
    act.details["approved"] = True
