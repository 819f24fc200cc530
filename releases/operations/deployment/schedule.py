"""deployment:schedule and deployment:cancel: setting the scheduled start, which in a protected environment is a
signature.
"""

from collections.abc import Container
from datetime import datetime, timedelta

from django.db import connection
from django.utils.translation import gettext as _

from audit.actor import current
from audit.clock import now
from audit.operation import operation
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted
from environments import access
from environments.models import Account, Environment
from environments.targets.words import gettext_noop
from releases.gates import evaluation, quorum
from releases.gates.approval import approval_for
from releases.gates.durations import durations
from releases.models import Deployment, Release
from releases.operations.release.refresh_from_git import refresh_from_git


def schedule(deployment_id: int, *, at: datetime | None = None, reason: str = "") -> Deployment:
    """Set the scheduled start of a deployment (None: now). The gates are checked for that time; an approver never
    schedules.

    In a protected environment a person signs. A service account relies on the approval of the release, which is a gate.
    """
    asked = Deployment.objects.select_related("release", "environment").get(pk=deployment_id)
    refresh_from_git(asked.release_id)
    signs = asked.environment.protected and current().kind != "service"
    # The environment is locked as well, so that two deployments for one time see each other. The release is locked so
    # that the end of its approval waits: that operation has not yet taken the approval request that is written on the
    # deployment here.
    targets = ((Deployment, deployment_id), (Environment, asked.environment_id), (Release, asked.release_id))
    with operation("deployment:schedule", *targets, reason=reason, sign=signs) as op:
        deployment, environment = op.get(Deployment), op.get(Environment)
        release = op.get(Release)
        account = access.current_account()
        # An account that may only start due deployments chooses no time.
        if at is not None or not access.may(account, "start", environment):
            access.require("schedule", environment)
        moment = now()
        hour = at or moment
        if hour < moment and at is not None and (moment - hour).total_seconds() > 60:
            raise InvalidInput(_("That time lies in the past."))
        deployment.schedule()
        if environment.protected:
            if why := why_not_permitted(account, deployment):
                raise NotPermitted(why)
            deployment.approval_request = approval_for(release, environment)
            deployment.scheduled_end_at = release.window_in(environment)[1]
            if signs:
                op.signature(deployment.approval_request.digest if deployment.approval_request else "")
        evaluation.require(release, environment, max(hour, moment))
        moved_aside = _book(deployment, hour)
        if moved_aside:
            op.details["cancelled"] = [str(other) for other in moved_aside]
            for other in moved_aside:
                op.add_event("deployment:cancel", other, emergency=str(release))
        deployment.scheduled_start_at = hour
        deployment.scheduled_by = account
        deployment.blockers = []
        with connection.cursor() as cursor:
            cursor.execute("NOTIFY ringi_due")
    return deployment


def why_not_permitted(account: Account, deployment: Deployment, spoken: Container[str] | None = None) -> str:
    """Return why an account may not schedule a deployment; empty when it may: in a protected environment no approver
    may.

    spoken: the persons who have decided about its release, where that is known already.
    """
    if not deployment.environment.protected:
        return ""
    if spoken is None:
        spoken = quorum.deciders_of([deployment.release_id])[deployment.release_id]
    if account.is_among(spoken):
        return _("You have approved this release; another person must schedule its deployment.")
    if account.kind == Account.Kind.SERVICE and deployment.requested_by.is_among(spoken):
        text = _("%(name)s has approved this release; another person must request the deployment.")
        return text % {"name": deployment.requested_by}
    return ""


def _book(deployment: Deployment, hour: datetime) -> list[Deployment]:
    """Refuse a time at which the application has another deployment there; an emergency cancels it instead."""
    release = deployment.release
    end = hour + _needed(release, deployment)
    booked = Deployment.objects.select_for_update(of=("self",), no_key=True).filter(
        application=deployment.application, environment=deployment.environment, state="scheduled"
    )
    moved_aside = []
    for other in booked.exclude(pk=deployment.pk).select_related("release"):
        if other.scheduled_start_at is None or other.scheduled_start_at >= end:
            continue
        if other.scheduled_start_at + _needed(other.release, deployment) <= hour:
            continue
        if release.kind != Release.Kind.EMERGENCY or other.release.kind == Release.Kind.EMERGENCY:
            raise GateNotPassed(_("Another deployment is scheduled for that time: %(run)s") % {"run": other.release})
        other.cancel()
        other.ended_at = now()
        other.blockers = [
            gettext_noop("The deployment was cancelled for an emergency release: %(release)s") % {"release": release}
        ]
        other.save()
        moved_aside.append(other)
    return moved_aside


def _needed(release: Release, deployment: Deployment) -> timedelta:
    lasts = durations(release, deployment.environment_id)
    return timedelta(seconds=lasts.needed(release.step_plan).seconds)


def cancel(deployment_id: int, *, reason: str) -> Deployment:
    """Cancel a deployment before it has begun."""
    with operation("deployment:cancel", (Deployment, deployment_id), reason=reason) as op:
        deployment = op.get(Deployment)
        account = access.current_account()
        if not access.may(account, "cancel"):
            access.require("stop", deployment.environment)
        deployment.cancel()
        deployment.steps.all().delete()
        deployment.ended_at = now()
    return deployment
