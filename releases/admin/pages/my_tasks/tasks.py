"""Open tasks of one person: each list in a fixed number of queries, whatever it finds. My tasks calls it."""

from collections.abc import Iterator
from datetime import datetime
from functools import reduce
from operator import or_

from django.db.models import F, Prefetch, Q
from django.utils.translation import gettext as _

from environments import access
from environments.admin.rights import Rights
from environments.application_scope import application_of
from environments.language import labelled, listed
from environments.models import AccessGrant, Account, ChangeFreeze, DeploymentTarget, Environment
from releases.admin.components.formatting import remaining
from releases.admin.components.links import page_of
from releases.admin.pages.my_tasks.access_tasks import ACCESS
from releases.admin.pages.my_tasks.deployment_tasks import DEPLOYMENTS
from releases.admin.pages.my_tasks.task import MOST, Reader, Source, Task, task_on
from releases.gates import authorship, quorum
from releases.models import (
    ApprovalRequest,
    ChecklistItem,
    DeployedVersion,
    Document,
    DocumentSignature,
    FollowUp,
    Milestone,
    Notification,
    Release,
    Waiver,
)
from releases.operations.deployed_version import register
from releases.operations.document import review
from releases.operations.follow_up import complete
from releases.operations.milestone.remind import turn_of
from releases.operations.release import sign_final_check
from releases.operations.waiver import decide as waivers
from releases.queries.milestone_dates import TURNS


def pending_tasks(rights: Rights, account: Account, moment: datetime) -> list[Task]:
    """Return everything that this person could do now, alarms first, then by due time."""
    reader = Reader(rights, account, moment)
    found = [task for right, source in SOURCES if not right or rights.anywhere(right) for task in source(reader)]
    return sorted(found, key=lambda w: (not w.urgent, w.due is None, w.due or moment))


def _due(release: Release | None) -> datetime | None:
    """Return when a release's current task is due: its next milestone's date; T-0 where it has none."""
    if release is None:
        return None
    milestone = turn_of(release)
    return milestone.due_at if milestone is not None else release.scheduled_start_at


def decisions_of(reader: Reader) -> Iterator[Task]:
    """Yield the approval requests on which the reader can decide."""
    rights, account = reader.rights, reader.account
    absent = access.absent_persons_of(account)
    known = reader.own(ApprovalRequest.objects.filter(state="in_review"))
    if not (absent or rights.anywhere("approve") or rights.anywhere("approve_change")):
        known = known.filter(subject=ApprovalRequest.Subject.PROCEDURE_RESTORE)
        if not rights.anywhere("restore_procedure") or not known.exists():
            return
    rows = (
        known.select_related(
            "release__application",
            "release__author",
            "environment",
            "window",
            "procedure__author",
            "process__application",
            "emergency_stop",
            "requested_by",
        )
        .prefetch_related("release__milestones")
        .order_by("valid_from", "pk")[:MOST]
    )
    counted = quorum.counts(list(rows))
    people = [account, *absent]
    held = {account.pk: set(rights.grants), **(access.held(person.pk for person in absent) if absent else {})}
    for row in rows:
        where = counted[row.pk]
        wanted, places = where.standing.wanted, row.place_ids
        application = application_of(row)
        fitting = [person for person in people if wanted & access.counting_in(held[person.pk], application, *places)]
        unresponsive = where.kept_out.keys() | where.spoken
        if account.is_among(unresponsive) or all(person.is_among(unresponsive) for person in fitting):
            continue
        yield Task(
            _("Decide on approval request: %(subject)s") % {"subject": row.get_subject_display()},
            str(row.about),
            page_of(row),
            quorum.words_for(where.standing.missing),
            _due(row.release) or row.valid_from or row.valid_until,
            row.environment.zone if row.environment is not None else "",
            signs=row.release_id is not None,
        )


def _checklist(reader: Reader) -> Iterator[Task]:
    rows = (
        reader.own(ChecklistItem.objects.filter(signed_at=None, release__state__in=Release.FIXED), "sign_checklist")
        .select_related("release__application")
        .prefetch_related("release__milestones")
        .order_by("release__scheduled_start_at", "pk")[: MOST * 6]
    )
    grouped: dict[int, list[ChecklistItem]] = {}
    for item in rows:
        grouped.setdefault(item.release_id, []).append(item)
    for items in grouped.values():
        release, words = items[0].release, _("Sign the checklist: %(n)d open") % {"n": len(items)}
        yield task_on(release, words, listed(map(str, items)), _due(release), at="#checklist", signs=True)


def _documents(reader: Reader) -> Iterator[Task]:
    if not any(map(reader.rights.anywhere, (*review.CHECKING, "edit_document", "sign_document"))):
        return
    rows = (
        reader.own(Document.objects.filter(state__in=["draft", "content_checked", "approved"]))
        .filter(Q(release__state__in=Release.FIXED) | Q(rollback__state="reporting"))
        .select_related(
            "release__application", "rollback__deployment__release__application", "rollback__deployment__environment"
        )
        .prefetch_related("release__milestones", "signatures")
        .defer("body")
        .order_by("pk")[:MOST]
    )
    for row in rows:
        signature = row.open_signature
        wanted = review.rights_for(row) if signature is not None else ("edit_document", "approve_document")
        if any(map(reader.rights.about(row).may, wanted)) and (
            signature is None or not review.why_not_permitted(reader.account, row)
        ):
            what, about = labelled(_step(signature), row), row.release or row.rollback
            yield task_on(about, what, due=_due(row.release), at="#documents", signs=row.release_id is not None)


def _step(signature: DocumentSignature | None) -> str:
    """Return the words for the signature that a document waits for; None: for its publication."""
    if signature is None:
        return _("Prepare publication")
    if signature.role:
        return _("Sign as: %(meaning)s") % {"meaning": signature}
    return _("Check document content") if signature.for_state == "content_checked" else _("Approve document")


def _final_checks(reader: Reader) -> Iterator[Task]:
    rights = reader.rights
    if not rights.anywhere("sign_final_check"):
        return
    targets = DeploymentTarget.objects.filter(environment__tier=Environment.Tier.PRODUCTION).select_related(
        "environment"
    )
    rows = (
        reader.own(Release.objects.filter(state="approved"))
        .select_related("application", "procedure")
        .prefetch_related("final_checks__account", "milestones", Prefetch("application__targets", targets))
        .order_by("scheduled_start_at")[:MOST]
    )
    for row in rows:
        places = [target.environment for target in row.application.targets.all()]
        place, there = max(places, key=lambda place: place.order, default=None), rights.about(row)
        if place is None or not there.may("sign_final_check", place):
            continue
        if not sign_final_check.why_not_permitted(reader.account, row, there.held(place)):
            yield task_on(row, _("Sign final check"), due=_due(row), at="#final", signs=True)


def _releases(reader: Reader) -> Iterator[Task]:
    words = {
        "draft": _("Complete the draft"),
        "scope_locked": _("Complete testing"),
        "testing_completed": _("Submit for approval"),
    }
    rows = reader.own(Release.objects.filter(state__in=list(words)), "prepare")
    rows = rows.select_related("application").prefetch_related("milestones")
    for row in rows.order_by("scheduled_start_at")[:MOST]:
        if row.state != "testing_completed" or row.bound_for_production:
            yield task_on(row, words[row.state], row.title, _due(row))


def _follow_ups(reader: Reader) -> Iterator[Task]:
    mine = [
        blocks
        for blocks, right in (("next", "complete_follow_up"), ("start", "approve"))
        if reader.rights.anywhere(right)
    ]
    rows = (
        reader.own(FollowUp.objects.filter(completed_at=None, blocks__in=mine))
        .select_related("release__application", "release__author")
        .order_by("due_at")[:MOST]
    )
    conditions = [row.release_id for row in rows if row.blocks == FollowUp.Blocks.START]
    out = authorship.excluded_of(conditions) if conditions else {}
    for row in rows:
        if not complete.why_not_permitted(reader.account, row, out.get(row.release_id)):
            note, urgent = f"{row.release} · {remaining(row.due_at, reader.moment)}", row.due_at < reader.moment
            yield task_on(row, _("Complete follow-up action"), note, row.due_at, at="#follow-ups", urgent=urgent)


def _waivers(reader: Reader) -> Iterator[Task]:
    rows = (
        reader.own(Waiver.objects.filter(approved_at=None, rejected_at=None, revoked_at=None), "confirm_waiver")
        .filter(until__gt=reader.moment)
        .select_related("release__application", "release__author", "environment", "requested_by")
        .prefetch_related("release__milestones")
        .order_by("pk")[:MOST]
    )
    spoken = quorum.deciders_of({row.release_id for row in rows}, ApprovalRequest.LIVE)
    for row in rows:
        if not waivers.why_not_permitted(reader.account, row, spoken[row.release_id]):
            yield task_on(row, _("Decide on waiver request"), row.reason, _due(row.release), at="#waivers", signs=True)


def _freezes(reader: Reader) -> Iterator[Task]:
    """Return the full freezes with a requested lift, for another account that plans."""
    rows = ChangeFreeze.objects.in_effect().exclude(lift_requested_by=None).filter(ends_at__gt=reader.moment)
    for row in reader.own(rows).select_related("lift_requested_by", "environment").order_by("ends_at")[:MOST]:
        own = row.lift_requested_by_id in reader.account.accounts
        if reader.rights.about(row).may("plan", row.environment) and not own:
            yield task_on(row, _("Decide on lifting freeze"), str(row.lift_requested_by), row.ends_at)


def _milestones(reader: Reader) -> Iterator[Task]:
    """Return the late milestones and those that are due next, for accounts that may take the release on."""
    turns = [
        Q(guards=guards, release__state=state)
        for guards, states in TURNS.items()
        for state, permission in states.items()
        if guards != "start" and reader.rights.applications_for(permission) != frozenset()
    ]
    if not turns:
        return
    rows = (
        reader.own(Milestone.objects.filter(reduce(or_, turns), done_at=None, due_at__lt=reader.moment))
        .select_related("release__application")
        .order_by("due_at")[:MOST]
    )
    for row in rows:
        what, note = _("Overdue: %(milestone)s") % {"milestone": row}, remaining(row.due_at, reader.moment)
        yield task_on(row.release, what, note, row.due_at, at="#plan", urgent=not row.due_immediately)


def _registrations(reader: Reader) -> Iterator[Task]:
    rows = reader.own(DeployedVersion.objects.filter(basis="requested")).select_related(
        "application", "environment", "release", "requested_by"
    )
    for row in rows[:MOST]:
        permitted = reader.rights.about(row).may("register_version", row.environment)
        if permitted and not register.why_not_permitted(reader.account, row):
            about = f"{row.application} · {row.environment}"
            yield Task(_("Confirm deployed version"), about, page_of(row), str(row.release))


def _grants(reader: Reader) -> Iterator[Task]:
    rows = (
        AccessGrant.objects.filter(confirmed_at=None, revoked_at=None)
        .exclude(Q(granted_by__in=reader.account.accounts) | Q(account__in=reader.account.accounts))
        .exclude(account__kind=Account.Kind.PERSON, account__enrolled_at=None)
        .select_related("account", "granted_by", "environment")
        .order_by(F("created_at"))
    )
    for row in (one for one in rows[: MOST * 4] if reader.rights.about(one).may("manage_access", one.environment)):
        yield task_on(row, _("Confirm access grant"), f"{row.granted_by or ''} · {row.reason}")


def _notifications(reader: Reader) -> Iterator[Task]:
    rows = Notification.objects.filter(external=True, external_approved_at=None, cancelled_at=None)
    rows = reader.own(rows, "approve_external")
    own = Q(cause__in=reader.account.identities) | Q(writer__in=reader.account.identities)
    rows = rows.exclude(own | Q(release__author__in=reader.account.accounts))
    for row in rows.order_by("pk")[:MOST]:
        yield task_on(row, _("Approve for external recipients"), row.event_label, row.made_at)


SOURCES: list[Source] = [
    *DEPLOYMENTS,
    ("", decisions_of),
    ("", _final_checks),
    ("prepare", _releases),
    ("", _documents),
    ("sign_checklist", _checklist),
    ("", _follow_ups),
    ("confirm_waiver", _waivers),
    ("", _freezes),
    ("", _milestones),
    ("", _registrations),
    ("manage_access", _grants),
    ("approve_external", _notifications),
    *ACCESS,
]


def nothing_to_do(rights: Rights) -> str:
    """Return what an empty list means for this person."""
    if rights.may("audit"):
        return _("You read everything and change nothing. Begin with the timeline.")
    if not rights.grants:
        return _(
            "You have no role yet. An administrator grants you one. A second person confirms each role that makes "
            "decisions."
        )
    return _("Nothing waits for you.")
