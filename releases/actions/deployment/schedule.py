"""deployment:schedule and deployment:cancel: setting the hour, which in a protected environment is a signature."""

from __future__ import annotations

from datetime import datetime

from django.db import connection
from django.utils.translation import gettext as _

from audit.actor import current
from audit.change import change
from audit.clock import now
from audit.refusals import Invalid, NotYou
from environments import access
from releases.actions.release.observe import observe
from releases.gates import ask
from releases.models import Approval, ConsentRound, Deployment


def schedule(deployment_id: int, *, at: datetime | None = None, reason: str = "") -> Deployment:
    """Set the hour of a run (None: now). The gates are asked for that hour; an approver never schedules.

    In a protected environment a person signs; a service account rests on the granted consent, which is a gate.
    """
    asked = Deployment.objects.select_related("release", "environment").get(pk=deployment_id)
    observe(asked.release_id)
    signs = asked.environment.protected and current().kind != "service"
    with change("deployment:schedule", (Deployment, deployment_id), reason=reason, sign=signs) as act:
        deployment = act.get(Deployment)
        environment, release = deployment.environment, deployment.release
        account = access.current_account()
        if not access.may(account, "schedule", environment):
            access.require("start", environment)
        moment = now()
        hour = at or moment
        if hour < moment and at is not None and (moment - hour).total_seconds() > 60:
            raise Invalid(_("That time lies in the past."))
        deployment.schedule()
        if environment.protected:
            words = Approval.objects.filter(round__release=release, meaning="approve").select_related("account")
            if any(word.account.person_key == account.person_key for word in words):
                raise NotYou(_("You have approved this release; another person schedules it."))
            deployment.consent = ConsentRound.objects.filter(
                release=release, environment=environment, state="granted"
            ).first()
            deployment.window_end = release.window_end
            if signs:
                act.signature("schedule", deployment.consent.digest if deployment.consent else "")
        ask.require(release, environment, max(hour, moment))
        deployment.scheduled_for = hour
        deployment.started_by = account
        deployment.blockers = []
        with connection.cursor() as cursor:
            cursor.execute("NOTIFY ringi_due")
    return deployment


def cancel(deployment_id: int, *, reason: str) -> Deployment:
    """Take a run back before it has begun."""
    with change("deployment:cancel", (Deployment, deployment_id), reason=reason) as act:
        deployment = act.get(Deployment)
        account = access.current_account()
        if not access.may(account, "cancel"):
            access.require("stop", deployment.environment)
        deployment.cancel()
        deployment.steps.all().delete()
        deployment.ended_at = now()
    return deployment
