"""By whose word a way back goes: kept when it is given, and told on its page, its print and in its report."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from django.utils.translation import gettext as _

from audit.clock import now
from environments import times
from releases.models import DecisionRequest, Rollback

How = Literal["person", "consent", "no_response"]
# Of an alarm nobody has let go yet, or that was found to be none.
BEFORE = ("raised", "assessed", "dismissed")


@dataclass(frozen=True)
class Authorised:
    """When a way back was authorised (None: not known) and by whose word, in words."""

    at: datetime | None
    words: str


def keep(rollback: Rollback, how: How) -> None:
    """Write down, inside an open door, that a way back is authorised now and how."""
    rollback.facts = {**rollback.facts, "authorised": {"how": how, "at": now().isoformat()}}


def authorised(rollback: Rollback) -> Authorised | None:
    """Return by whose word a way back goes and since when; None while nobody has let it go."""
    kept = rollback.facts.get("authorised")
    if kept is None and rollback.state in BEFORE:
        return None
    at = datetime.fromisoformat(kept["at"]) if kept is not None else None
    if rollback.authorised_by is not None:
        return Authorised(at, str(rollback.authorised_by))
    if kept is None or kept["how"] != "no_response":
        return Authorised(at, _("the pre-authorisation in the approval request"))
    run = rollback.deployment
    lapsed = DecisionRequest.objects.filter(deployment=run, answered_by=None, answer="roll_back").order_by("pk").last()
    until = times.shown(lapsed.due_at if lapsed is not None else None, run.environment.zone)
    text = _("the approved default (roll back), because no one responded by %(until)s")
    return Authorised(at, text % {"until": until})
