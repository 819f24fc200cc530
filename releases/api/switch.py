"""The stop switch over HTTP: how it stands, and the call that stops production."""

from datetime import datetime

from django.http import HttpRequest
from ninja import Router, Schema

from environments.models import Application, Environment
from releases.actions.switch.press import press
from releases.api.once import writes
from releases.api.releases import MustIn, refuse_to_sign
from releases.api.rows import application_named
from releases.api.token import caller_of
from releases.api.words import Slug
from releases.models import EmergencyStop

router = Router(tags=["switch"])


class StopOut(Schema):
    """One stop: of one application or of all (null), since when, by whom and why; pauses: running deployments wait."""

    application: str | None
    pauses: bool
    since: datetime
    by: str
    reason: str


class SwitchOut(Schema):
    """Whether production is stopped or paused, of an application where one was named; then each stop, the hardest first."""

    stopped: bool
    stops: list[StopOut]


class PressIn(MustIn):
    """Why; which application (all without one), and whether running deployments only wait."""

    application: Slug | None = None
    pauses: bool = False


def _out(application: Application | None = None) -> SwitchOut:
    stops = [
        StopOut(
            application=switch.application.slug if switch.application is not None else None,
            pauses=switch.pauses,
            since=switch.activated_at,
            by=str(switch.activated_by),
            reason=switch.reason,
        )
        for switch in EmergencyStop.on(application.pk if application is not None else None)
    ]
    return SwitchOut(stopped=bool(stops), stops=stops)


@router.get("", response=SwitchOut)
def show_switch(request: HttpRequest, application: Slug | None = None) -> SwitchOut:
    """Say whether production is stopped or paused: of one application where it is named, else of any."""
    caller_of(request).read_any()
    return _out(application_named(application) if application is not None else None)


@router.post("/press", response=SwitchOut, summary="Stop or pause production now; needs nobody's consent.")
@writes
def press_switch(request: HttpRequest, body: PressIn) -> SwitchOut:
    """Stop production, of one application or of all: no deployment starts or goes on there until it is released."""
    caller = caller_of(request)
    for place in Environment.objects.filter(tier=Environment.Tier.PRODUCTION):
        caller.reach(place)
    application = application_named(body.application) if body.application is not None else None
    press(reason=body.reason, application_id=application.pk if application is not None else None, pauses=body.pauses)
    return _out()


@router.post("/propose_release", response=SwitchOut, summary="Apply for the release: a signature, refused for a token.")
@writes
def propose_switch_release(request: HttpRequest, body: MustIn) -> SwitchOut:
    """Refuse: applying for the release is a signature, which a token never gives."""
    caller_of(request).read_any()
    for switch in EmergencyStop.on():
        refuse_to_sign("emergency_stop:request_lift", EmergencyStop, switch.pk)
    return _out()
