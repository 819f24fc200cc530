"""The release manager's verbs from fixed content to the application for consent, and the ways out before it."""

from django.utils.translation import gettext as _

from audit.change import Act, change
from audit.clock import now
from audit.refusals import GateClosed, Invalid, WrongState
from environments import access
from environments.language import listed
from environments.models import Account, Environment
from releases.actions.consent.end import end_rounds
from releases.actions.obligation.incur import incur
from releases.actions.release.number import next_number
from releases.actions.release.plan import active_procedure, clear_final_check
from releases.actions.release.steps import lay_out, production_of, step_plan
from releases.actions.release.suggest import wrong
from releases.gates.ask import answers
from releases.models import Deployment, Release, Waiver


def fix_content(release_id: int, *, reason: str = "") -> Release:
    """T-14: fix version, commit, changes and plan; pins the procedure, gives the number, drafts the documents."""
    with change("release:lock_scope", (Release, release_id), reason=reason) as act:
        access.require("prepare")
        release = act.get(Release)
        release.lock_scope()
        _complete(release)
        if faults := wrong(release):
            raise Invalid(*faults)
        require_in_time(release, "lock_scope")
        procedure = active_procedure()
        release.procedure = procedure
        release.number = release.number or next_number(now())
        content = procedure.document
        release.step_plan = step_plan(content)
        lay_out(release, content)
        _done(act, release, "lock_scope")
    return release


def confirm_tests(release_id: int, *, reason: str = "") -> Release:
    """T-7: every earlier environment has verified the same content and the evidence holds."""
    with change("release:complete_testing", (Release, release_id), reason=reason) as act:
        access.require("prepare")
        release = act.get(Release)
        release.complete_testing()
        last = Environment.objects.filter(targets__application=release.application).order_by("order").last()
        if last is None:
            raise Invalid(_("The application has no deployment target."))
        asked = [a for a in answers(release, last) if a.kind in ("evidence", "promotion", "checklist")]
        closed = [a.reason or a.gate for a in asked if not a.passes]
        if release.kind == Release.Kind.PRE_RELEASE:
            closed = []
            if not Deployment.objects.filter(release=release, state__in=Deployment.VERIFIED).exists():
                closed = [_("The release has not been verified in any environment yet.")]
        if closed:
            raise GateClosed(*closed)
        require_in_time(release, "complete_testing")
        _done(act, release, "complete_testing")
    return release


def conclude(release_id: int, *, reason: str = "") -> Release:
    """End a release that is not bound for production."""
    with change("release:close", (Release, release_id), reason=reason) as act:
        access.require("prepare")
        release = act.get(Release)
        if release.bound_for_production:
            raise WrongState(_("This release is planned for production, so it cannot be closed without production."))
        release.close()
    return release


def amend(release_id: int, *, reason: str) -> Release:
    """Open the content again; ends the round, and what rests on unchanged facts stays signed."""
    with change("release:reopen_scope", (Release, release_id), reason=reason) as act:
        access.require("prepare")
        release = act.get(Release)
        act.require_reason()
        _not_occupied(release)
        release.reopen_scope()
        ended = end_rounds(release, "invalidated", "amended", tells=act)
        clear_final_check(release, now())
        for milestone in release.milestones.exclude(done_at=None):
            milestone.done_at = milestone.done_by = None
            milestone.save()
        act.details["rounds_ended"] = [r.digest[:12] for r in ended]
    return release


def take_back(release_id: int, *, reason: str = "") -> Release:
    """引戻し: take the application back for now."""
    with change("release:withdraw_request", (Release, release_id), reason=reason) as act:
        access.require("prepare")
        release = act.get(Release)
        release.withdraw_request()
        end_rounds(release, "withdrawn", tells=act)
    return release


def withdraw(release_id: int, *, reason: str) -> Release:
    """Give the release up for good."""
    with change("release:cancel", (Release, release_id), reason=reason) as act:
        access.require("prepare")
        release = act.get(Release)
        _not_occupied(release)
        release.cancel()
        end_rounds(release, "invalidated", "cancelled")
    return release


def _complete(release: Release) -> None:
    missing = [
        str(getattr(release._meta.get_field(name), "verbose_name", name))
        for name in (*Release.APPLICATION_FIELDS, "commit", "tree", "branch")
        if not str(getattr(release, name)).strip()
    ]
    if missing:
        raise Invalid(_("Still empty: %(fields)s") % {"fields": listed(missing)})
    if not release.changes.exists():
        raise Invalid(_("The release has no change entries yet."))
    if release.bound_for_production and release.scheduled_start_at is None:
        raise Invalid(_("No scheduled start has been set yet."))
    targets = Environment.objects.filter(targets__application=release.application)
    if not release.bound_for_production:
        targets = targets.exclude(tier="production")
    lacking = [str(e) for e in targets if e.slug not in release.configurations]
    if lacking:
        raise Invalid(_("No configuration chosen for: %(environments)s") % {"environments": listed(lacking)})


def require_in_time(release: Release, verb: str) -> None:
    """Raise GateClosed when the milestone that guards an edge is past and not waived; inside an open door. What is late
    under a waiver is owed from then on.
    """
    moment = now()
    late = list(release.milestones.filter(guards=verb, done_at=None, due_immediately=False, due_at__lt=moment))
    if not late:
        return
    environment = production_of(release)
    waivers = Waiver.objects.select_for_update(no_key=True).filter(release=release, environment=environment)
    counting = {waiver.gate: waiver for waiver in waivers if waiver.counts(moment)}
    for milestone in late:
        waiver = counting.get(f"milestone:{milestone.key}")
        if waiver is None:
            text = _("“%(milestone)s” is overdue. Move the release to a later change window, or request a waiver.")
            raise GateClosed(text % {"milestone": milestone})
        if waiver.follow_up is None:
            waiver.follow_up = incur(release, "waiver", moment, environment.zone, about=str(milestone))
            waiver.save()


def _done(act: Act, release: Release, verb: str) -> None:
    done_milestone(release, verb, access.current_account() if act.actor.account_id else None)


def done_milestone(release: Release, verb: str, account: Account | None) -> None:
    """Mark the milestone that guards an edge as done, inside an open door."""
    for milestone in release.milestones.filter(guards=verb, done_at=None):
        milestone.done_at, milestone.done_by = now(), account
        milestone.save(update_fields=["done_at"] if account is None else ["done_at", "done_by"])


def _not_occupied(release: Release) -> None:
    busy = Deployment.objects.filter(
        release=release, environment__protected=True, state__in=Deployment.OCCUPYING
    ).exclude(state="queued")
    if busy.exists():
        text = _("A deployment is in progress in the protected environment. Stop or resolve the deployment first.")
        raise WrongState(text)
