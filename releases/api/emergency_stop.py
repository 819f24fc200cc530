"""The emergency stop over HTTP: whether production is stopped, and the call that stops it."""

from datetime import datetime

from django.http import HttpRequest
from ninja import Router, Schema

from environments.models import Application, Environment
from releases.api.once import writes
from releases.api.releases import MustIn, refuse_to_sign
from releases.api.rows import application_named
from releases.api.token import Caller, caller_of
from releases.api.words import Slug
from releases.models import EmergencyStop
from releases.operations.emergency_stop.activate import activate

router = Router(tags=["emergency stop"])


class EmergencyStopOut(Schema):
    """One stop: of one application or of all (null), since when, by whom and why; pauses: running deployments wait."""

    application: str | None
    pauses: bool
    activated_at: datetime
    activated_by: str
    reason: str


class EmergencyStopsOut(Schema):
    """Whether production is stopped or paused, of an application where one was named; then each stop, the hardest
    first.
    """

    stopped: bool
    stops: list[EmergencyStopOut]


class ActivateIn(MustIn):
    """Why; which application (all without one), and whether running deployments only wait."""

    application: Slug | None = None
    pauses: bool = False


def _out(caller: Caller, application: Application | None = None) -> EmergencyStopsOut:
    own = caller.applications
    stops = [
        EmergencyStopOut(
            application=stop.application.slug if stop.application is not None else None,
            pauses=stop.pauses,
            activated_at=stop.activated_at,
            activated_by=str(stop.activated_by),
            reason=stop.reason,
        )
        for stop in EmergencyStop.on(application.pk if application is not None else None)
        if own is None or stop.application_id is None or stop.application_id in own
    ]
    return EmergencyStopsOut(stopped=bool(stops), stops=stops)


@router.get("", response=EmergencyStopsOut)
def show_emergency_stop(request: HttpRequest, application: Slug | None = None) -> EmergencyStopsOut:
    """Say whether production is stopped or paused: of one application where it is named, else of the account's own."""
    caller = caller_of(request)
    caller.read_any()
    return _out(caller, application_named(caller, application) if application is not None else None)


@router.post("/activate", response=EmergencyStopsOut, summary="Activate an emergency stop now; needs no approval.")
@writes
def activate_emergency_stop(request: HttpRequest, body: ActivateIn) -> EmergencyStopsOut:
    """Stop production, of one application or of all: no deployment starts or continues there until the stop is
    lifted.
    """
    caller = caller_of(request)
    for place in Environment.objects.filter(tier=Environment.Tier.PRODUCTION):
        caller.reach(place)
    application = application_named(caller, body.application) if body.application is not None else None
    activate(reason=body.reason, application_id=application.pk if application is not None else None, pauses=body.pauses)
    return _out(caller)


@router.post("/request_lift", response=EmergencyStopsOut, summary="Request the lift: a signature, refused for a token.")
@writes
def request_emergency_stop_lift(request: HttpRequest, body: MustIn) -> EmergencyStopsOut:
    """Refuse: requesting the lift is a signature, which a token never gives."""
    caller = caller_of(request)
    caller.read_any()
    for stop in EmergencyStop.on():
        refuse_to_sign("emergency_stop:request_lift", EmergencyStop, stop.pk)
    return _out(caller)
