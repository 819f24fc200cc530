"""When a deployment may start: whether now, why not, and the next windows."""

from datetime import datetime
from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from ninja import Router, Schema

from audit.clock import now
from environments.models import Application, ChangeFreeze, Environment
from releases.api import shapes
from releases.api.rows import application_named, environment_named
from releases.api.token import caller_of
from releases.api.words import Slug
from releases.gates.base import ruled
from releases.gates.window import closed_sentence, opening
from releases.operations.release.plan import active_procedure

router = Router(tags=["windows"])
COUNT = 24


def _any_time(application: Application, environment: Environment) -> bool:
    asked = active_procedure(application).document.gates_for(environment)
    return all(gate.type != "change_window" for gate in asked) and environment.pk not in ruled(application.pk)


def coming(application: Application, environment: Environment, at: datetime) -> list[shapes.WindowOut]:
    """Return the next COUNT openings after `at` without freezes, as the gate sees them."""
    found: list[shapes.WindowOut] = []
    answer = opening(application, environment, at)
    while len(found) < COUNT and answer.next_start is not None and answer.next_end is not None:
        name = answer.next_window.name if answer.next_window is not None else ""
        found.append(shapes.WindowOut(name=name, starts_at=answer.next_start, ends_at=answer.next_end))
        answer = opening(application, environment, answer.next_start)
    return found


class FreezeOut(Schema):
    """A freeze that holds or will hold, of a recurring one the next time. `application` null: all; `full`: not even an
    emergency release passes.
    """

    id: int
    name: str
    environment: str
    application: str | None
    starts_at: datetime
    ends_at: datetime
    recurring: bool
    full: bool
    reason: str


@router.get("/freezes", response=list[FreezeOut])
def list_freezes(request: HttpRequest, application: Slug | None = None, environment: Slug | None = None) -> Any:
    """List the freezes that hold now or later, by their beginning: for one application and its environments, or all
    that the caller reads.
    """
    caller, moment = caller_of(request), now()
    caller.read_any()
    chosen = application_named(caller, application) if application is not None else None
    places = caller.readable(chosen)
    if environment is not None:
        where = environment_named(caller, environment)
        caller.read(where, chosen)
        places = [where]
    rows = ChangeFreeze.objects.in_effect().filter(environment__in=places, ends_at__gt=moment)
    if chosen is not None:
        rows = rows.reaching(chosen)
    elif caller.applications is not None:
        rows = rows.filter(Q(application=None) | Q(application__in=caller.applications))
    found = []
    for row in rows.select_related("environment", "application"):
        if span := next((one for one in row.spans(moment) if one.ends_at > moment), None):
            found.append(
                FreezeOut(
                    id=row.pk,
                    name=row.name,
                    environment=row.environment.slug,
                    application=row.application.slug if row.application is not None else None,
                    starts_at=span.starts_at,
                    ends_at=span.ends_at,
                    recurring=bool(row.rrule),
                    full=row.full,
                    reason=row.reason,
                )
            )
    return sorted(found, key=lambda row: (row.starts_at, row.id))


@router.get("", response=shapes.WindowsOut)
def show_windows(request: HttpRequest, application: Slug, environment: Slug) -> Any:
    """Show whether a regular deployment may start now, and list the next windows."""
    caller = caller_of(request)
    where = environment_named(caller, environment)
    what, moment = application_named(caller, application), now()
    caller.read(where, what)
    answer = opening(what, where, moment, any_time=_any_time(what, where))
    return shapes.WindowsOut(
        application=what.slug,
        environment=where.slug,
        zone=where.zone,
        at=moment,
        open=answer.open,
        reason=answer.reason if answer.open else closed_sentence(answer, where),
        until=answer.until,
        next=coming(what, where, moment),
    )
