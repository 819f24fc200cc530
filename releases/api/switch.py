"""The stop switch over HTTP: how it stands, and the call that stops all production."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest
from ninja import Router, Schema

from environments.models import Environment
from releases.actions.switch.press import press
from releases.api.once import writes
from releases.api.releases import MustIn, refuse_to_sign
from releases.api.token import caller_of
from releases.models import StopSwitch

router = Router(tags=["switch"])


class SwitchOut(Schema):
    """Whether all production is stopped, and then since when, by whom and why."""

    stopped: bool
    since: datetime | None = None
    by: str = ""
    reason: str = ""


def _out() -> SwitchOut:
    switch = StopSwitch.pressed()
    if switch is None:
        return SwitchOut(stopped=False)
    return SwitchOut(stopped=True, since=switch.pressed_at, by=str(switch.pressed_by), reason=switch.reason)


@router.get("", response=SwitchOut)
def show_switch(request: HttpRequest) -> SwitchOut:
    """Say whether all production is stopped."""
    caller_of(request).read_any()
    return _out()


@router.post("/press", response=SwitchOut, summary="Stop all production now; needs nobody's consent.")
@writes
def press_switch(request: HttpRequest, body: MustIn) -> SwitchOut:
    """Stop all production: no run starts or goes on there until the stop is released with consent."""
    caller = caller_of(request)
    for place in Environment.objects.filter(tier=Environment.Tier.PRODUCTION):
        caller.reach(place)
    press(reason=body.reason)
    return _out()


@router.post("/propose_release", response=SwitchOut, summary="Apply for the release: a signature, refused for a token.")
@writes
def propose_switch_release(request: HttpRequest, body: MustIn) -> SwitchOut:
    """Refuse: applying for the release is a signature, which a token never gives."""
    caller_of(request).read_any()
    switch = StopSwitch.pressed()
    if switch is not None:
        refuse_to_sign("switch:propose_release", StopSwitch, switch.pk)
    return _out()
