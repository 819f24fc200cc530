"""release:submit: an approval request is opened about exactly this content."""

from django.db import connection
from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.refusals import GateNotPassed, InvalidInput
from environments import access
from environments.models import Environment
from releases.gates import authorship, ledger
from releases.gates.content import document
from releases.gates.standard_change import beyond_limits, subject_of, used_up
from releases.gates.unapproved_process import not_approved
from releases.models import ApprovalRequest, Release
from releases.operations.approval.decide import approve_beforehand
from releases.operations.release.plan import clear_final_check
from releases.operations.release.prepare import require_in_time
from releases.operations.release.refresh_from_git import refresh_from_git
from releases.operations.release.request_approval import request_approval
from releases.operations.release.set_version import wrong
from releases.queries.rollback_plan import faults
from releases.queries.step_plan import production_of


def submit(release_id: int, *, reason: str = "") -> ApprovalRequest:
    """Submit for approval: freezes rules and content on the request; refused while another release holds the window.

    A standard change for which the procedure asks nobody is approved in a second operation.
    """
    refresh_from_git(release_id)
    approval_request = _open(release_id, reason)
    if approval_request.asks_no_approver:
        return approve_beforehand(approval_request.pk)
    return approval_request


def _open(release_id: int, reason: str) -> ApprovalRequest:
    with operation("release:submit", (Release, release_id), reason=reason) as op:
        requester = access.require("prepare")
        release = op.get(Release)
        release.submit()
        environment = production_of(release)
        # The deployed version may have changed since the scope was locked.
        if unsuitable := wrong(release):
            raise InvalidInput(*unsuitable)
        if why := not_approved(environment, release.process):
            raise GateNotPassed(why)
        if missing := faults(release):
            raise GateNotPassed(*missing)
        require_in_time(release, "mark_approved")
        authorship.require_known_authors(release)
        subject = subject_of(release)
        if subject == "standard":
            ledger.require(environment)  # nothing may stand between the submission and its approval
            number, full = used_up(release, environment)
            if beyond := [*beyond_limits(release, release.scheduled_start_at), *([full] if full else [])]:
                raise GateNotPassed(*beyond)
            op.details.update(standard_change=release.criterion, number_in_week=number + 1)
        if subject != "emergency":
            _require_room(release, environment)
        assert release.procedure is not None
        rules = release.procedure.document.rules_for(subject, *release.destinations, risk=release.risk)
        if not rules:
            raise GateNotPassed(_("The release procedure has no approval rule for this, so no approval is possible."))
        # The T-1 signatures of an earlier attempt do not count for this one.
        clear_final_check(release, now())
        content = document(release, environment)
        approval_request = request_approval(
            subject,
            content,
            rules,
            requester,
            release=release,
            environment=environment,
            valid_from=release.scheduled_start_at,
            valid_until=release.scheduled_end_at,
        )
        op.about(release, approval_request=approval_request.pk, digest=approval_request.digest)
    return approval_request


def _require_room(release: Release, environment: Environment) -> None:
    """Refuse more releases of one application for a change window than the procedure allows, whenever in it each
    starts. The lock holds until the commit, so that of two submitted at once one is the second.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('ringi_change_window'))")
    other = ApprovalRequest.objects.filter(
        release__application=release.application,
        environment=environment,
        valid_until=release.scheduled_end_at,
        state__in=["in_review", "approved"],
    ).exclude(release=release)
    assert release.procedure is not None
    if other.count() >= release.procedure.document.schedule.regular.releases_per_window:
        text = _("Another release has an approval request for this change window: %(r)s")
        raise GateNotPassed(text % {"r": other[0].release})
