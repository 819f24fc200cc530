"""Open tasks of one person: each list in a fixed number of queries, whatever it finds. My tasks calls it."""

from datetime import datetime
from functools import reduce
from operator import or_

from django.db.models import F, Prefetch, Q
from django.urls import reverse
from django.utils.translation import gettext as _

from environments import access
from environments.admin.rights import Rights
from environments.language import labelled, listed
from environments.models import AccessGrant, Account, ChangeFreeze, DeploymentTarget, Environment
from releases.admin.components.formatting import remaining
from releases.admin.components.links import page_of
from releases.admin.pages.my_tasks.access_tasks import access_tasks
from releases.admin.pages.my_tasks.deployment_tasks import deployment_tasks
from releases.admin.pages.my_tasks.task import MOST, Task
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
from releases.operations.milestone.remind import OWNERS, TURNS, turn_of
from releases.operations.release import sign_final_check
from releases.operations.waiver import decide as waivers


def pending_tasks(rights: Rights, account: Account, moment: datetime) -> list[Task]:
    """Return everything that this person could do now, alarms first, then by due time."""
    found = [
        *deployment_tasks(rights, account),
        *_approval_requests(rights, account),
        *_final_checks(rights, account),
        *_releases(rights),
        *_documents(rights, account),
        *_checklist(rights),
        *_follow_ups(rights, account, moment),
        *_waivers(rights, account, moment),
        *_freezes(rights, account, moment),
        *_milestones(rights, moment),
        *_registrations(rights, account),
        *_grants(rights, account),
        *_notifications(rights, account),
        *access_tasks(rights, account, moment),
    ]
    return sorted(found, key=lambda w: (not w.urgent, w.due is None, w.due or moment))


def _due(release: Release | None) -> datetime | None:
    """Return when a release's current task is due: its next milestone's date; T-0 where it has none."""
    if release is None:
        return None
    milestone = turn_of(release)
    return milestone.due_at if milestone is not None else release.scheduled_start_at


def _approval_requests(rights: Rights, account: Account) -> list[Task]:
    absent = access.absent_persons_of(account)
    known = ApprovalRequest.objects.filter(state="in_review")
    if not (absent or rights.anywhere("approve") or rights.anywhere("approve_change")):
        known = known.filter(subject=ApprovalRequest.Subject.PROCEDURE_RESTORE)
        if not rights.anywhere("restore_procedure") or not known.exists():
            return []
    rows = (
        known.select_related(
            "release__application",
            "release__author",
            "environment",
            "window",
            "procedure__author",
            "emergency_stop",
            "requested_by",
        )
        .prefetch_related("release__milestones")
        .order_by("valid_from", "pk")[:MOST]
    )
    counted = quorum.counts(list(rows))
    people = [account, *absent]
    held = {account.pk: set(rights.grants), **(access.held(person.pk for person in absent) if absent else {})}
    found = []
    for row in rows:
        where = counted[row.pk]
        wanted, places = where.standing.wanted, row.place_ids
        fitting = [person for person in people if wanted & access.counting_in(held[person.pk], *places)]
        unresponsive = where.kept_out.keys() | where.spoken
        if account.is_among(unresponsive) or all(person.is_among(unresponsive) for person in fitting):
            continue
        about = row.release or row.window or row.procedure or row.emergency_stop
        found.append(
            Task(
                _("Decide on approval request: %(subject)s") % {"subject": row.get_subject_display()},
                str(about),
                page_of(row) if row.release_id is None else reverse("release", args=[row.release_id]) + "#approvals",
                quorum.words_for(where.standing.missing),
                _due(row.release) or row.valid_from or row.valid_until,
                row.environment.zone if row.environment is not None else "",
            )
        )
    return found


def _checklist(rights: Rights) -> list[Task]:
    if not rights.may("sign_checklist"):
        return []
    rows = (
        ChecklistItem.objects.filter(signed_at=None, release__state__in=Release.FIXED)
        .select_related("release__application")
        .prefetch_related("release__milestones")
        .order_by("release__scheduled_start_at", "pk")[: MOST * 6]
    )
    grouped: dict[int, list[ChecklistItem]] = {}
    for item in rows:
        grouped.setdefault(item.release_id, []).append(item)
    return [
        Task(
            _("Sign the checklist: %(n)d open") % {"n": len(items)},
            str(items[0].release),
            reverse("release", args=[pk]) + "#checklist",
            listed(map(str, items)),
            _due(items[0].release),
        )
        for pk, items in grouped.items()
    ]


def _documents(rights: Rights, account: Account) -> list[Task]:
    if not any(map(rights.may, (*review.CHECKING, "edit_document", "sign_document"))):
        return []
    rows = (
        Document.objects.filter(state__in=["draft", "content_checked", "approved"])
        .filter(Q(release__state__in=Release.FIXED) | Q(rollback__state="reporting"))
        .select_related(
            "release__application", "rollback__deployment__release__application", "rollback__deployment__environment"
        )
        .prefetch_related("release__milestones", "signatures")
        .defer("body")
        .order_by("pk")[:MOST]
    )
    found = []
    for row in rows:
        signature = row.open_signature
        wanted = review.rights_for(row) if signature is not None else ("edit_document", "approve_document")
        if not any(map(rights.may, wanted)) or (signature is not None and review.why_not_permitted(account, row)):
            continue
        about = row.release or row.rollback
        found.append(
            Task(labelled(_step(signature), row), str(about), page_of(row) + "#documents", due=_due(row.release))
        )
    return found


def _step(signature: DocumentSignature | None) -> str:
    """Return the words for the signature that a document waits for; None: for its publication."""
    if signature is None:
        return _("Prepare publication")
    if signature.role:
        return _("Sign as: %(meaning)s") % {"meaning": signature}
    return _("Check document content") if signature.for_state == "content_checked" else _("Approve document")


def _final_checks(rights: Rights, account: Account) -> list[Task]:
    if not rights.anywhere("sign_final_check"):
        return []
    targets = DeploymentTarget.objects.filter(environment__tier=Environment.Tier.PRODUCTION).select_related(
        "environment"
    )
    rows = (
        Release.objects.filter(state="approved")
        .select_related("application", "procedure")
        .prefetch_related("final_checks__account", "milestones", Prefetch("application__targets", targets))
        .order_by("scheduled_start_at")[:MOST]
    )
    found = []
    for row in rows:
        places = [target.environment for target in row.application.targets.all()]
        place = max(places, key=lambda place: place.order, default=None)
        if place is None or not rights.may("sign_final_check", place):
            continue
        if not sign_final_check.why_not_permitted(account, row, rights.held(place)):
            found.append(
                Task(_("Sign final check"), str(row), reverse("release", args=[row.pk]) + "#final", due=_due(row))
            )
    return found


def _releases(rights: Rights) -> list[Task]:
    if not rights.may("prepare"):
        return []
    words = {
        "draft": _("Complete the draft"),
        "scope_locked": _("Complete testing"),
        "testing_completed": _("Submit for approval"),
    }
    rows = Release.objects.filter(state__in=list(words)).select_related("application").prefetch_related("milestones")
    return [
        Task(words[row.state], str(row), reverse("release", args=[row.pk]), row.title, _due(row))
        for row in rows.order_by("scheduled_start_at")[:MOST]
        if row.state != "testing_completed" or row.bound_for_production
    ]


def _follow_ups(rights: Rights, account: Account, moment: datetime) -> list[Task]:
    mine = [
        blocks
        for blocks, right in (("next", "complete_follow_up"), ("start", "approve"))
        if rights.may(right) or (right == "approve" and any(right in may for may in rights.permissions.values()))
    ]
    rows = (
        FollowUp.objects.filter(completed_at=None, blocks__in=mine)
        .select_related("release__application", "release__author")
        .order_by("due_at")[:MOST]
    )
    conditions = [row.release_id for row in rows if row.blocks == FollowUp.Blocks.START]
    out = authorship.excluded_of(conditions) if conditions else {}
    return [
        Task(
            _("Complete follow-up action"),
            str(row),
            reverse("release", args=[row.release_id]) + "#follow-ups",
            f"{row.release} · {remaining(row.due_at, moment)}",
            row.due_at,
            urgent=row.due_at < moment,
        )
        for row in rows
        if not complete.why_not_permitted(account, row, out.get(row.release_id))
    ]


def _waivers(rights: Rights, account: Account, moment: datetime) -> list[Task]:
    if not rights.may("confirm_waiver"):
        return []
    rows = (
        Waiver.objects.filter(approved_at=None, rejected_at=None, revoked_at=None, until__gt=moment)
        .select_related("release__application", "release__author", "environment", "requested_by")
        .prefetch_related("release__milestones")
        .order_by("pk")[:MOST]
    )
    spoken = quorum.deciders_of({row.release_id for row in rows}, ApprovalRequest.LIVE)
    return [
        Task(_("Decide on waiver request"), str(row), page_of(row) + "#waivers", row.reason, _due(row.release))
        for row in rows
        if not waivers.why_not_permitted(account, row, spoken[row.release_id])
    ]


def _freezes(rights: Rights, account: Account, moment: datetime) -> list[Task]:
    """Return the full freezes with a requested lift, for another account that plans."""
    rows = ChangeFreeze.objects.in_effect().exclude(lift_requested_by=None).filter(ends_at__gt=moment)
    return [
        Task(_("Decide on lifting freeze"), str(row), page_of(row), str(row.lift_requested_by), row.ends_at)
        for row in rows.select_related("lift_requested_by", "environment").order_by("ends_at")[:MOST]
        if rights.may("plan", row.environment)
        and getattr(row.lift_requested_by, "person_key", "") != account.person_key
    ]


def _milestones(rights: Rights, moment: datetime) -> list[Task]:
    """Return the late milestones and those that are due next, for accounts with the role that owns them."""
    owned = [guards for guards, role in OWNERS.items() if role in rights.roles and guards != "start"]
    turns = [Q(guards=guards, release__state__in=TURNS[guards]) for guards in owned]
    if not turns:
        return []
    rows = (
        Milestone.objects.filter(reduce(or_, turns), done_at=None, due_at__lt=moment)
        .select_related("release__application")
        .order_by("due_at")[:MOST]
    )
    return [
        Task(
            _("Overdue: %(milestone)s") % {"milestone": row},
            str(row.release),
            page_of(row.release) + "#plan",
            remaining(row.due_at, moment),
            row.due_at,
            urgent=not row.due_immediately,
        )
        for row in rows
    ]


def _registrations(rights: Rights, account: Account) -> list[Task]:
    rows = DeployedVersion.objects.filter(basis="requested").select_related(
        "application", "environment", "release", "requested_by"
    )
    return [
        Task(_("Confirm deployed version"), f"{row.application} · {row.environment}", page_of(row), str(row.release))
        for row in rows[:MOST]
        if rights.may("register_version", row.environment) and not register.why_not_permitted(account, row)
    ]


def _grants(rights: Rights, account: Account) -> list[Task]:
    if not rights.may("manage_access"):
        return []
    rows = (
        AccessGrant.objects.filter(confirmed_at=None, revoked_at=None)
        .exclude(Q(granted_by=account) | Q(account=account))
        .select_related("account", "granted_by", "environment")
        .order_by(F("created_at"))[:MOST]
    )
    return [
        Task(_("Confirm access grant"), str(row), page_of(row), f"{row.granted_by or ''} · {row.reason}")
        for row in rows
    ]


def _notifications(rights: Rights, account: Account) -> list[Task]:
    if not rights.may("approve_external"):
        return []
    rows = Notification.objects.filter(external=True, external_approved_at=None, cancelled_at=None)
    rows = rows.exclude(Q(cause=account.person_key) | Q(writer=account.person_key))
    return [
        Task(_("Approve for external recipients"), str(row), page_of(row), row.event_label, row.made_at)
        for row in rows.order_by("pk")[:MOST]
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
