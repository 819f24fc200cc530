"""consent:approve, consent:send_back, consent:reject: one person's word, bound to the content that was shown."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.change import Act, change
from audit.clock import now
from audit.refusals import GateClosed, Invalid, NotYou, WrongState
from environments import access
from environments.models import Account, ChangeWindow
from releases.actions.consent.end import end_rounds
from releases.actions.procedure.activate import put_in_force
from releases.actions.release.prepare import done_milestone
from releases.gates import quorum
from releases.gates.content import difference, digest, document
from releases.models import Approval, ConsentRound, Procedure, Release

DUTIES = {
    "author": gettext_lazy("You are its author."),
    "editor": gettext_lazy("You have edited it."),
    "commit author": gettext_lazy("You wrote one of its commits."),
    "starter": gettext_lazy("You have scheduled or started it."),
    "applicant": gettext_lazy("You have applied for it."),
}


def approve(round_id: int, *, digest: str, comment: str = "") -> ConsentRound:
    """Approve as oneself. `digest` is what the page showed; with the last missing approval the round is granted."""
    with change("consent:approve", *_targets(round_id), reason=comment, sign=True) as act:
        round_ = _open_round(act, digest)
        account, roles = _approver(round_)
        _same_content(round_)
        _word(act, round_, account, roles, Approval.Meaning.APPROVE, comment)
        if quorum.standing(quorum.rules_of(round_), quorum.persons_of(round_)).met:
            _grant(act, round_)
    return round_


def send_back(round_id: int, *, digest: str, comment: str) -> ConsentRound:
    """差戻し: send the release back to be changed; needs a comment."""
    return _refuse(round_id, digest, comment, Approval.Meaning.SEND_BACK)


def reject(round_id: int, *, digest: str, comment: str) -> ConsentRound:
    """却下: say no for good; needs a comment."""
    return _refuse(round_id, digest, comment, Approval.Meaning.REJECT)


def _refuse(round_id: int, digest: str, comment: str, meaning: Approval.Meaning) -> ConsentRound:
    with change(f"consent:{meaning}", *_targets(round_id), reason=comment, sign=True) as act:
        round_ = _open_round(act, digest)
        account, roles = _approver(round_)
        if not comment.strip():
            raise Invalid(_("Say why."))
        _word(act, round_, account, roles, meaning, comment)
        if meaning == Approval.Meaning.REJECT:
            round_.reject()
        else:
            round_.send_back()
        round_.ended_at = now()
        if round_.release_id is not None:
            release = act.get(Release)
            release.reject() if meaning == Approval.Meaning.REJECT else release.send_back()
        if round_.window_id is not None:
            act.get(ChangeWindow).withdrawn_at = now()
        if round_.procedure_id is not None:
            act.get(Procedure).send_back()
    return round_


def _targets(round_id: int) -> list[tuple[type, int]]:
    row = ConsentRound.objects.filter(pk=round_id).values("release", "window", "procedure").first()
    if row is None:
        raise Invalid(_("There is no such round of consent."))
    targets: list[tuple[type, int]] = [(ConsentRound, round_id)]
    rows = ((Release, row["release"]), (ChangeWindow, row["window"]), (Procedure, row["procedure"]))
    return targets + [(model, pk) for model, pk in rows if pk is not None]


def _open_round(act: Act, shown: str) -> ConsentRound:
    round_ = act.get(ConsentRound)
    if round_.state != "open":
        raise WrongState(_("This round is “%(state)s”.") % {"state": round_.get_state_display()})
    if shown != round_.digest:
        raise GateClosed(_("You were shown another content than the one that is applied for. Read it again."))
    return round_


def _approver(round_: ConsentRound) -> tuple[Account, set[str]]:
    account = access.require("approve" if round_.release_id else "consent", round_.environment)
    if account.kind != Account.Kind.PERSON:
        raise NotYou(_("Service accounts never count."))
    kept_out = (
        quorum.excluded(round_.release) if round_.release is not None else {round_.applicant.person_key: "applicant"}
    )
    if round_.release is not None and not quorum.commit_authors(round_.release):
        raise GateClosed(_("The authors of the commits are not known; observe the source first."))
    if account.person_key in kept_out:
        raise NotYou(str(DUTIES[kept_out[account.person_key]]), _("So you cannot approve it."))
    roles = access.roles_of(account, round_.environment)
    where = quorum.standing(quorum.rules_of(round_), quorum.persons_of(round_))
    if not any(role in roles for role, _count in where.missing):
        raise NotYou(_("The stage that is open does not wait for your role."))
    earlier = Approval.objects.filter(round=round_).select_related("account")
    if any(row.account.person_key == account.person_key for row in earlier):
        raise NotYou(_("You have already given your word in this round."))
    return account, roles


def _same_content(round_: ConsentRound) -> None:
    release = round_.release
    if release is None or round_.environment is None:
        return
    present = document(release, round_.environment)
    if digest(present) != round_.digest:
        key = difference(round_.document, present)
        raise GateClosed(_("The consent is stale: “%(key)s” has changed.") % {"key": key})


def _word(
    act: Act, round_: ConsentRound, account: Account, roles: set[str], meaning: Approval.Meaning, comment: str
) -> None:
    Approval.objects.create(
        round=round_,
        account=account,
        meaning=meaning,
        roles=sorted(roles),
        digest=round_.digest,
        comment=comment,
        signature=act.signature(str(meaning), round_.digest),
        at=now(),
    )


def _grant(act: Act, round_: ConsentRound) -> None:
    round_.grant()
    if round_.release_id is not None:
        release = act.get(Release)
        release.approve()
        done_milestone(release, "approve", None)
    if round_.window_id is not None:
        act.get(ChangeWindow).opened_at = now()
    if round_.procedure_id is not None:
        put_in_force(act.get(Procedure))
    act.details["granted"] = True


def lapse_stale() -> list[int]:
    """End live rounds whose content has changed or whose window has passed; return the releases (the sweeper's act)."""
    lapsed = []
    for round_ in ConsentRound.objects.filter(state__in=["open", "granted"], release__isnull=False):
        release, environment = round_.release, round_.environment
        if release is None or environment is None:
            continue
        present = document(release, environment)
        expired = round_.window_end is not None and now() >= round_.window_end
        key = "window" if expired else difference(round_.document, present)
        if not key:
            continue
        with change("release:lapse", (Release, release.pk), reason=key) as act:
            held = act.get(Release)
            end_rounds(held, "expired" if expired else "void", key)
            if held.state in ("in_review", "approved", "confirmed"):
                held.lapse()
            act.details["key"] = key
        lapsed.append(release.pk)
    return lapsed
