"""emergency_stop:activate: stop production now. One person presses, nobody is asked; releasing it takes the approval of two."""

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
# Whoever runs, plans or approves releases, and whoever may stop a run in some production environment.
RIGHTS = ("raise_rollback", "cancel", "approve_change")


def may_activate(account: Account) -> bool:
    """Tell whether an account may stop production, and apply for its release."""
    places = Environment.objects.filter(tier=Environment.Tier.PRODUCTION)
    return any(access.may(account, right) for right in RIGHTS) or any(
        access.may(account, right, place) for place in places for right in ("stop", "raise_rollback")
    )


def activate(*, reason: str, application_id: int | None = None, pauses: bool = False) -> EmergencyStop:
    """Stop production, of one application or of all: from now on no deployment starts and no step is claimed there.

    What runs is ended, or with `pauses` waits before its next step until the switch is released. Rollbacks go on. Raises
    InvalidInput, and NotPossible when it is on already.
    """
    with operation("emergency_stop:activate", reason=reason) as op:
        account = access.current_account()
        if not may_activate(account):
            raise NotPermitted(_("You do not have permission to use the emergency stop."))
        op.require_reason()
        application = application_named(application_id)
        emergency_stop.hold_alone()
        same = EmergencyStop.objects.filter(application=application, pauses=pauses, lifted_at=None)
        if same.exists():
            raise NotPossible(_("An emergency stop of the same scope is already active."))
        switch = EmergencyStop.objects.create(
            application=application,
            pauses=pauses,
            activated_by=account,
            activated_at=now(),
            reason=reason.strip()[:300],
        )
        op.about(switch)
    stop_runs()
    return switch


def stop_runs() -> list[int]:
    """End what still runs in production while a switch is on that does not only pause; return the runs. The poll calls it
    as well.

    A run whose steps are all finished, or that waits for a decision, is left as it is: nothing of it runs.
    """
    switches = [switch for switch in EmergencyStop.on() if not switch.pauses]
    if not switches:
        return []
    live = Step.objects.filter(phase__in=["deployment", "verification"], state__in=["pending", "ready", "running"])
    deployments = Deployment.objects.filter(
        state__in=["running", "verifying"], environment__tier=Environment.Tier.PRODUCTION, steps__in=live
    )
    stopped = []
    for pk, application in deployments.order_by("pk").values_list("pk", "application").distinct():
        switch = next((s for s in switches if s.application_id in (None, application)), None)
        if switch is None:
            continue
        # One that has ended meanwhile is refused; one that cannot be stopped now is tried again by the poll.
        with isolated(log, "deployment %s cannot be stopped", pk), suppress(NotPossible):
            with operation("deployment:stop", (Deployment, pk), reason=switch.reason) as op:
                op.details["emergency_stop"] = switch.pk
                stop_within_operation(op, op.get(Deployment))
            stopped.append(pk)
    return stopped
