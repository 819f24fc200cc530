"""release:sign_final_check: the T-1 final check, signed by two people of the roles that the procedure names (P3)."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from django.utils.translation import get_language, gettext as _

from audit.clock import now
from audit.one_look import one_answer
from audit.operation import operation
from audit.refusals import GateNotPassed, NotPermitted, NotPossible
from environments import access
from environments.attach_related import related
from environments.language import listed
from environments.models import Account, DeploymentTarget, Environment
from environments.models.environment import targets_in
from environments.targets.base import StepFailed
from environments.targets.ssh import call
from releases.gates import quorum
from releases.gates.base import final_check_of
from releases.gates.content import digest, document
from releases.gates.evaluation import evaluate
from releases.gates.rehearsal import rehearsed
from releases.models import ApprovalRequest, Fact, FinalCheck, Procedure, Release, TeamMember, Waiver
from releases.models.waiver import NOTIFICATIONS_SENT, NOTIFICATIONS_SENT_WAIVER
from releases.operations.follow_up.create import create
from releases.operations.release.prepare import final_check_done, require_in_time
from releases.operations.release.refresh_from_git import refresh_from_git
from releases.queries.announcement import NOT_MEASURED, UNKNOWN, WAIVED, Announcement, announcement
from releases.queries.step_plan import production_of
from releases.queries.target_spec import spec_of

# The results that block a signature; `not_measured` and `waived` are left to the person who signs.
BLOCKING = (False, UNKNOWN)


@one_answer
def facts_now(release: Release, *, connect: bool = True) -> dict[str, Any]:
    """Return each item of the final check as it is now: true, false, `unknown`, `waived` or `not_measured`.

    connect: whether a target on another host may be asked, which takes seconds; else it is not measured.
    """
    environment = production_of(release)
    targets = targets_in(release.application, environment)
    tag = Fact.objects.filter(release=release, kind="tag", environment=None).first()
    approval_request = ApprovalRequest.objects.filter(
        release=release, environment=environment, state="approved"
    ).first()
    team_roles = set(release.team_members.exclude(telephone="").values_list("team_role", flat=True))
    measured = {
        "release_team_complete": team_roles >= set(TeamMember.TeamRole.values),
        "target_reachable": _all_reachable(targets, connect),
        "tag_unchanged": tag is not None
        and tag.value.get("commit") == release.commit
        and bool(tag.value.get("signature_good")),
        # A missing rehearsal is not false: the person who signs says how it was.
        "rollback_rehearsed": rehearsed(release, environment) is not None or NOT_MEASURED,
        "digest_unchanged": approval_request is not None
        and digest(document(release, environment)) == approval_request.digest,
        NOTIFICATIONS_SENT: announcement_of(release, environment, approval_request).result,
    }
    return {item.key: measured.get(item.key, NOT_MEASURED) for item in final_check_of(release).items}


def announcement_of(
    release: Release, environment: Environment, approval_request: ApprovalRequest | None = None
) -> Announcement:
    """Return how the announcement of a release stands; approval_request: the approved one, where that is known."""
    granted = (
        approval_request
        or ApprovalRequest.objects.filter(release=release, environment=environment, state="approved").first()
    )
    return announcement(release, granted, _waiver(release, environment))


def _waiver(release: Release, environment: Environment) -> Waiver | None:
    moment, rows = (
        now(),
        Waiver.objects.filter(release=release, environment=environment, gate=NOTIFICATIONS_SENT_WAIVER),
    )
    return next((row for row in rows.select_related("decided_by") if row.counts(moment)), None)


def _all_reachable(targets: Sequence[DeploymentTarget], connect: bool) -> bool | str:
    found = [_reachable(target, connect) for target in targets]
    if not found or False in found:
        return False
    return NOT_MEASURED if NOT_MEASURED in found else True


def _reachable(target: DeploymentTarget, connect: bool) -> bool | str:
    if not target.options.get("ssh"):
        return Path(target.root).is_dir()
    if not connect:
        return NOT_MEASURED
    try:
        return bool(call.ask(spec_of(target), "reach", seconds=30)["root"])
    except StepFailed:
        return False


def sign(release_id: int, *, reason: str = "") -> Release:
    """Sign the final check as it stands; the second signature completes it and records the tag."""
    refresh_from_git(release_id)
    facts = facts_now(Release.objects.get(pk=release_id))
    with operation("release:sign_final_check", (Release, release_id), reason=reason, sign=True) as op:
        release = op.get(Release)
        environment = production_of(release)
        account = access.require("sign_final_check", environment)
        if release.state != "approved" or release.scheduled_start_at is None:
            text = _("This operation is not possible in the state “%(state)s”.")
            raise NotPossible(text % {"state": release.get_state_display()})
        held = access.roles_of(account, environment)
        if why := why_not_permitted(account, release, held):
            raise NotPermitted(why)
        wrong = [key for key, value in facts.items() if value in BLOCKING]
        if wrong:
            missing = [announcement_of(release, environment).why] if NOTIFICATIONS_SENT in wrong else []
            raise GateNotPassed(_("Items not met: %(items)s") % {"items": listed(labels(release, wrong))}, *missing)
        require_in_time(release, "complete_final_check")
        signs = sorted(held & set(final_check_of(release).signers))
        approved = document(release, environment)
        content = {"approved": approved, "facts": facts, "scheduled_start_at": release.scheduled_start_at.isoformat()}
        signed = FinalCheck(
            release=release,
            account=account,
            facts=facts,
            scheduled_start_at=release.scheduled_start_at,
            signature=op.signature(digest(content), role=", ".join(signs)),
            signed_at=now(),
        )
        rows = [*_signed(release), signed]
        rules, persons = _places(release, rows)
        # A person with several of the roles makes room for one who has only one of them.
        filled = zip(quorum.matched(rules, persons), rules, strict=True)
        place = {person: rule.role for person, rule in filled if person is not None}
        for row in rows:
            if row.role != place[row.account.person_key]:
                row.role = place[row.account.person_key]
                row.save()
        op.details["facts"] = facts
        if (
            facts.get(NOTIFICATIONS_SENT) == WAIVED
            and (waiver := _waiver(release, environment))
            and waiver.follow_up is None
        ):
            waiver.follow_up = create(
                release, "waiver", now(), environment.zone, about=labels(release, [NOTIFICATIONS_SENT])[0]
            )
            waiver.save()
        if not open_roles(release):
            late = [a.reason for a in evaluate(release, environment) if a.kind == "tag" and not a.passes]
            if late:
                raise GateNotPassed(*late)
            final_check_done(release, account)
    return release


def _signed(release: Release) -> list[FinalCheck]:
    rows = related(release, "final_checks", "account")
    return [row for row in rows if row.invalidated_at is None and row.account.is_active]


def _places(release: Release, rows: Iterable[FinalCheck]) -> tuple[list[quorum.Rule], quorum.Persons]:
    """Return the places of the final check, and the persons who signed with the roles held then."""
    rules = [quorum.Rule(1, role, 1) for role in final_check_of(release).signers]
    return rules, [(row.account.person_key, frozenset(row.signature.get("role", row.role).split(", "))) for row in rows]


def open_roles(release: Release) -> frozenset[str]:
    """Return the roles of which one more person may sign the final check; empty once all have signed."""
    return quorum.standing(*_places(release, _signed(release))).wanted


@one_answer
def why_not_permitted(account: Account, release: Release, held: Collection[str] | None = None) -> str:
    """Return why a person may not sign the final check; empty when they may. held: their roles there, where known."""
    if any(account.is_among(row.account.identities) for row in _signed(release)):
        return _("You have already signed the final check.")
    where = (production_of(release), release.application_id)
    roles = access.roles_of(account, *where) if held is None else held
    try:
        waiting = open_roles(release)
    except Procedure.DoesNotExist:  # for a release from before the first procedure
        return _("No release procedure is in effect.")
    if not waiting & set(roles):
        return _("The final check does not need a signature from your role.")
    return ""


def labels(release: Release, keys: list[str]) -> list[str]:
    """Return the items of the final check in the reader's language, in the order of `keys`."""
    items = {item.key: item for item in final_check_of(release).items}
    return [items[key].label(get_language() or "ja") for key in keys]


def words_of_item(value: bool | str) -> str:
    """Return a value of `facts_now` in words."""
    words = {True: _("measured: yes"), False: _("measured: no"), UNKNOWN: _("not known yet"), WAIVED: _("waived")}
    return words.get(value, _("not yet measured"))
