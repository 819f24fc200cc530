"""switch:press: stop all production now. One person presses, nobody is asked; releasing it takes the consent of two."""

from __future__ import annotations

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import Invalid, NotYou, WrongState
from environments import access
from environments.models import Account, Environment
from releases.actions.deployment.decide import stop_inside
from releases.gates import stop_switch
from releases.models import Deployment, Step, StopSwitch

# Whoever runs, plans or consents to releases, and whoever may stop a run in some production environment.
RIGHTS = ("raise", "cancel", "consent")


def may_press(account: Account) -> bool:
    """Tell whether an account may stop all production, and apply for its release."""
    places = Environment.objects.filter(tier=Environment.Tier.PRODUCTION)
    return any(access.may(account, right) for right in RIGHTS) or any(
        access.may(account, right, place) for place in places for right in ("stop", "raise")
    )


def press(*, reason: str) -> StopSwitch:
    """Stop all production: from now on no run starts and no step is claimed there, and what runs is stopped.

    Ways back go on. Raises WrongState when it is on already.
    """
    with change("switch:press", reason=reason) as act:
        account = access.current_account()
        if not may_press(account):
            raise NotYou(_("You do not have the right to stop production."))
        if not reason.strip():
            raise Invalid(_("Say why."))
        stop_switch.hold_alone()
        if StopSwitch.pressed() is not None:
            raise WrongState(_("All production is stopped already."))
        switch = StopSwitch.objects.create(pressed_by=account, pressed_at=now(), reason=reason.strip()[:300])
        act.about(switch)
    stop_runs()
    return switch


def stop_runs() -> list[int]:
    """Stop what still runs in production while the switch is on; return the runs. The sweep calls it as well.

    A run whose steps are all finished, or that waits for a decision, is left as it is: nothing of it runs.
    """
    switch = StopSwitch.pressed()
    if switch is None:
        return []
    live = Step.objects.filter(phase__in=["forward", "verify"], state__in=["pending", "ready", "running"])
    runs = Deployment.objects.filter(
        state__in=["running", "verifying"], environment__tier=Environment.Tier.PRODUCTION, steps__in=live
    )
    stopped = []
    for pk in runs.order_by("pk").values_list("pk", flat=True).distinct():
        try:
            with change("deployment:stop", (Deployment, pk), reason=switch.reason) as act:
                act.details["switch"] = switch.pk
                stop_inside(act, act.get(Deployment))
            stopped.append(pk)
        except WrongState:
            continue  # it has ended meanwhile
    return stopped
