"""When a deployment may start: whether now, why not, and the next windows."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Router

from audit.clock import now
from environments.models import Application, Environment
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
