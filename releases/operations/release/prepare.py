"""The release manager's operations from locking the scope to completing the tests, and the ways to end a release
before.
"""

from datetime import datetime

from django.db import connection
from django.utils.translation import get_language, gettext as _

from audit.clock import now
from audit.operation import Operation, operation
from audit.refusals import GateNotPassed, InvalidInput, NotPossible
from environments import access
from environments.models import Account
from releases.gates.base import procedure_of
from releases.models import ChecklistItem, Deployment, DeploymentProcess, Document, Fact, Milestone, Release, Waiver
from releases.notifications.templates import notes
from releases.operations.document.review import create as create_document
from releases.operations.follow_up.create import create
from releases.operations.release.dates import lay
from releases.operations.release.end_approval import end_requests
from releases.operations.release.plan import active_procedure, clear_final_check
from releases.operations.release.readiness import for_scope, for_testing
from releases.procedures.document import Procedure as Content
from releases.queries.fiscal_year import fiscal_year
from releases.queries.release_facts import facts_of
from releases.queries.step_plan import production_of, step_plan


def lock_scope(release_id: int, *, reason: str = "") -> Release:
    """T-14: lock version, commit, changes and plan; sets the procedure, assigns the number, drafts the documents."""
    with operation("release:lock_scope", (Release, release_id), reason=reason) as op:
        access.require("prepare")
        release = op.get(Release)
        release.lock_scope()
        if release.process is None or release.process.state in DeploymentProcess.ENDS:
            release.process = DeploymentProcess.current(release.application_id)
        procedure = active_procedure(release.application)
        if faults := [reason for item in for_scope(release, procedure.document) for reason in item.reasons]:
            raise InvalidInput(*faults)
        release.procedure = procedure
        release.artefact = release.newest_artefact() if release.artefact_kind else None
        release.number = release.number or next_number(now())
        content = procedure_of(release)
        release.step_plan = step_plan(content, release.kind, release.risk)
        if release.scheduled_start_at is not None and any(row.when for row in content.milestones):
            lay(release, content, production_of(release), release.scheduled_start_at, now())  # the risk class is fixed
        require_in_time(release, "lock_scope")
        create_checklist_and_documents(release, content)
        _done(op, release, "lock_scope")
    return release


def complete_testing(release_id: int, *, reason: str = "") -> Release:
    """T-7: every earlier environment has verified the same content and the evidence passes."""
    with operation("release:complete_testing", (Release, release_id), reason=reason) as op:
        access.require("prepare")
        release = op.get(Release)
        release.complete_testing()
        if not release.places:
            raise InvalidInput(_("The application has no deployment target."))
        if missing := [reason for item in for_testing(release) for reason in item.reasons]:
            raise GateNotPassed(*missing)
        require_in_time(release, "complete_testing")
        _done(op, release, "complete_testing")
    return release


def close(release_id: int, *, reason: str = "") -> Release:
    """Close a release that is not bound for production."""
    with operation("release:close", (Release, release_id), reason=reason) as op:
        access.require("prepare")
        release = op.get(Release)
        if release.bound_for_production:
            raise NotPossible(_("This release is planned for production, so it cannot be closed without production."))
        release.close()
    return release


def reopen_scope(release_id: int, *, reason: str) -> Release:
    """Reopen the scope; ends the approval request. Signatures on unchanged facts stay."""
    with operation("release:reopen_scope", (Release, release_id), reason=reason) as op:
        access.require("prepare")
        release = op.get(Release)
        op.require_reason()
        _not_occupied(release)
        release.reopen_scope()
        ended = end_requests(release, "invalidated", "scope_reopened", tells=op)
        clear_final_check(release, now())
        for milestone in release.milestones.exclude(done_at=None):
            milestone.done_at = milestone.done_by = None
            milestone.save()
        op.details["ended_requests"] = [r.digest[:12] for r in ended]
    return release


def cancel(release_id: int, *, reason: str) -> Release:
    """Cancel the release."""
    with operation("release:cancel", (Release, release_id), reason=reason) as op:
        access.require("prepare")
        release = op.get(Release)
        _not_occupied(release)
        release.cancel()
        end_requests(release, "invalidated", "cancelled")
    return release


def late_milestones(release: Release, verb: str, moment: datetime) -> list[Milestone]:
    """Return the milestones that guard an edge and are past, also those that are waived."""
    return list(release.milestones.filter(guards=verb, done_at=None, due_immediately=False, due_at__lt=moment))


def held_by(release: Release, verb: str, moment: datetime) -> list[Milestone]:
    """Return those of them that hold the release: until two people waive them, or it moves."""
    waived = {row.gate for row in release.waivers.all() if row.counts(moment)}
    return [row for row in late_milestones(release, verb, moment) if f"milestone:{row.key}" not in waived]


def overdue_words(milestone: Milestone) -> str:
    """Return that a milestone is past, and what can be done."""
    text = _("“%(milestone)s” is overdue. Move the release to a later change window, or request a waiver.")
    return text % {"milestone": milestone}


def require_in_time(release: Release, verb: str) -> None:
    """Raise GateNotPassed when the milestone that guards an edge is past and not waived; inside an open operation.

    A milestone that is late under a waiver requires its follow-up action from then on.
    """
    moment = now()
    late = late_milestones(release, verb, moment)
    if not late:
        return
    environment = production_of(release)
    waivers = Waiver.objects.select_for_update(no_key=True).filter(release=release, environment=environment)
    counting = {waiver.gate: waiver for waiver in waivers if waiver.counts(moment)}
    for milestone in late:
        waiver = counting.get(f"milestone:{milestone.key}")
        if waiver is None:
            raise GateNotPassed(overdue_words(milestone))
        if waiver.follow_up is None:
            waiver.follow_up = create(release, "waiver", moment, environment.zone, about=str(milestone))
            waiver.save()


def _done(op: Operation, release: Release, verb: str) -> None:
    done_milestone(release, verb, access.current_account() if op.actor.account_id else None)


def done_milestone(release: Release, verb: str, account: Account | None) -> None:
    """Mark the milestone that guards an edge as done, inside an open operation."""
    for milestone in release.milestones.filter(guards=verb, done_at=None):
        milestone.done_at, milestone.done_by = now(), account
        milestone.save(update_fields=["done_at"] if account is None else ["done_at", "done_by"])


def final_check_done(release: Release, account: Account | None) -> None:
    """Complete the final check and record the tag; a release without one has none, where no gate asks for it."""
    tag = Fact.objects.filter(release=release, kind="tag", environment=None).first()
    release.tag_object = tag.value.get("object_id", "") if tag is not None else ""
    release.complete_final_check()
    done_milestone(release, "complete_final_check", account)


def _not_occupied(release: Release) -> None:
    busy = Deployment.objects.filter(
        release=release, environment__protected=True, state__in=Deployment.OCCUPYING
    ).exclude(state="queued")
    if busy.exists():
        text = _("A deployment is in progress in the protected environment. Stop or resolve the deployment first.")
        raise NotPossible(text)


def create_checklist_and_documents(release: Release, content: Content) -> None:
    """Create the checklist and the document drafts that a procedure requires, inside an open operation."""
    for item in content.checklist:
        ChecklistItem.objects.get_or_create(
            release=release, group=item.group, key=item.key, defaults={"label_ja": item.ja, "label_en": item.en}
        )
    for row in content.documents:
        create_document(release, row, content, drafted(release, row.key))


def drafted(release: Release, kind: str) -> str:
    """Return the draft of a document, made from the facts of the release in the language of the current person; empty
    for one that Ringi does not know.
    """
    language = "ja" if get_language() == "ja" else "en"
    makes = {
        Document.Kind.RELEASE_NOTES: notes.release_notes,
        Document.Kind.CHANGELOG: notes.changelog,
        Document.Kind.TECHNICAL: notes.technical,
    }
    return makes[Document.Kind(kind)](facts_of(release, language), language) if kind in makes else ""


def next_number(moment: datetime) -> str:
    """Return the next `FY2026-0001`; call inside the operation, the lock holds until its commit."""
    year = fiscal_year(moment)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('ringi_release_number'))")
    given = Release.objects.filter(number__startswith=f"FY{year}-").values_list("number", flat=True)
    return f"FY{year}-{max((int(str(n).rsplit('-', 1)[1]) for n in given), default=0) + 1:04d}"
