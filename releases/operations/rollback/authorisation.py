"""By whose word a rollback goes: kept when it is given, and told on its page, its print and in its report."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from django.utils.translation import gettext as _

from audit.clock import now
from environments import times
from releases.models import DecisionRequest, Rollback

How = Literal["person", "pre_authorised", "no_response"]
# Of an alarm nobody has let go yet, or that was found to be none.
BEFORE = ("raised", "assessed", "dismissed")


@dataclass(frozen=True)
class Authorisation:
    """When a rollback was authorised (None: not known) and by whose word, in words."""

    at: datetime | None
    words: str


def record_authorisation(rollback: Rollback, how: How) -> None:
    """Write down, inside an open operation, that a rollback is authorised now and how."""
    rollback.facts = {**rollback.facts, "authorised": {"how": how, "at": now().isoformat()}}


def authorisation(rollback: Rollback) -> Authorisation | None:
    """Return by whose word a rollback goes and since when; None while nobody has let it go."""
    kept = rollback.facts.get("authorised")
    if kept is None and rollback.state in BEFORE:
        return None
    at = datetime.fromisoformat(kept["at"]) if kept is not None else None
    if rollback.authorised_by is not None:
        return Authorisation(at, str(rollback.authorised_by))
    if kept is None or kept["how"] != "no_response":
        return Authorisation(at, _("the pre-authorisation in the approval request"))
    deployment = rollback.deployment
    ended_requests = (
        DecisionRequest.objects.filter(deployment=deployment, answered_by=None, answer="roll_back")
        .order_by("pk")
        .last()
    )
    until = times.shown(ended_requests.due_at if ended_requests is not None else None, deployment.environment.zone)
    text = _("the approved default (roll back), because no one responded by %(until)s")
    return Authorisation(at, text % {"until": until})
