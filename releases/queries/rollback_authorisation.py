"""By whose word a rollback goes: as its page, its print and its report tell it."""

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from environments import times
from releases.models import DecisionRequest, Rollback

# An alarm that is not authorised yet, or that was dismissed.
BEFORE = ("raised", "assessed", "dismissed")


@dataclass(frozen=True)
class Authorisation:
    """When a rollback was authorised (None: not known) and by whose word, in words."""

    at: datetime | None
    words: str


def authorisation(rollback: Rollback) -> Authorisation | None:
    """Return who authorised a rollback and when; None while it is not authorised."""
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
