"""emergency_stop:activate: one person stops production at once, without approval; lifting the stop takes two people."""

import logging
from contextlib import suppress

from django.utils.translation import gettext as _

from audit.clock import now
from audit.isolated import isolated
from audit.operation import operation
from audit.refusals import NotPermitted, NotPossible
from environments import access
from environments.models import Account, Environment
from releases.gates import emergency_stop
from releases.models import Deployment, EmergencyStop, Step
from releases.operations.deployment.decide import stop_within_operation
from releases.operations.window.request import application_named

log = logging.getLogger(__name__)
# The permissions of those who run, plan or approve releases, and of those who may stop a deployment in production.
RIGHTS = ("raise_rollback", "cancel", "approve_change")
RIGHTS_THERE = ("stop", "raise_rollback")


def may_activate(account: Account, application: int | None) -> bool:
    """Tell whether an account may stop production of an application (its key; None: of all), and request the lift."""
    places = Environment.objects.filter(tier=Environment.Tier.PRODUCTION)
    return any(access.may(account, right, application=application) for right in RIGHTS) or any(
        access.may(account, right, place, application) for place in places for right in RIGHTS_THERE
    )


def activate(*, reason: str, application_id: int | None = None, pauses: bool = False) -> EmergencyStop:
    """Stop production, of one application or of all: from now on no deployment starts and no step is claimed there.

    A running deployment is ended, or with `pauses` waits before its next step until the stop is lifted. Rollbacks go
    on. Raises InvalidInput, and NotPossible when the stop is active already.
    """
    with operation("emergency_stop:activate", reason=reason) as op:
        account = access.current_account()
        if not may_activate(account, application_id):
            raise NotPermitted(_("You do not have permission to use the emergency stop."))
        op.require_reason()
        application = application_named(application_id)
        emergency_stop.hold_alone()
        same = EmergencyStop.objects.filter(application=application, pauses=pauses, lifted_at=None)
        if same.exists():
            raise NotPossible(_("An emergency stop of the same scope is already active."))
        stop = EmergencyStop.objects.create(
            application=application,
            pauses=pauses,
            activated_by=account,
            activated_at=now(),
            reason=reason.strip()[:300],
        )
        op.about(stop)
    stop_runs()
    return stop


def stop_runs() -> list[int]:
    """Stop what still runs in production under a stop that does not only pause; return the deployments. The poll calls
    it too.

    A deployment whose steps are all finished, or that waits for a decision, is left as it is: none of its steps run.
    """
    stops = [stop for stop in EmergencyStop.on() if not stop.pauses]
    if not stops:
        return []
    live = Step.objects.filter(phase__in=["deployment", "verification"], state__in=["pending", "ready", "running"])
    deployments = Deployment.objects.filter(
        state__in=["running", "verifying"], environment__tier=Environment.Tier.PRODUCTION, steps__in=live
    )
    stopped = []
    for pk, application in deployments.order_by("pk").values_list("pk", "application").distinct():
        stop = next((s for s in stops if s.application_id in (None, application)), None)
        if stop is None:
            continue
        # A deployment that has ended meanwhile is refused; one that cannot be stopped now is tried again by the poll.
        with isolated(log, "deployment %s cannot be stopped", pk), suppress(NotPossible):
            with operation("deployment:stop", (Deployment, pk), reason=stop.reason) as op:
                op.details["emergency_stop"] = stop.pk
                stop_within_operation(op, op.get(Deployment))
            stopped.append(pk)
    return stopped
