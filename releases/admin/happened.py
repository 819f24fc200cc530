"""Events of the ledger as people read them: who did what, when, why, and what became different. Pages call it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_lazy as _

from audit.models import Event
from releases.admin.verbs import VERBS

# What no button does: acts of the workers, the scheduler and the way in.
OTHER_ACTS = {
    "account:change_password": _("Change one's password"),
    "account:reseal_factor": _("Seal a second factor with the present key"),
    "configuration:add_key": _("Add a key to the ring"),
    "configuration:use_key": _("Seal with another key from now on"),
    "configuration:reseal": _("Seal the secrets with the present key"),
    "configuration:retire_keys": _("Take old keys out of the ring"),
    "question:escalate": _("Ask the next on the roster"),
    "question:lapse": _("Nobody has answered: do what was agreed"),
    "session:sign_in": _("Sign in"),
    "deployment:queue": _("Queue the deployment"),
    "deployment:put_off": _("Wait: a gate is closed"),
    "deployment:put_back": _("Take the deployment out of the queue"),
    "deployment:miss": _("Miss the window"),
    "deployment:stopped": _("Stop after the step"),
    "deployment:succeed": _("End the deployment well"),
    "milestone:remind": _("Remind of a milestone"),
    "procedure:activate": _("Put the procedure in force"),
    "release:lapse": _("End the consent: what it was about has changed"),
    "release:tag_made": _("Make the tag"),
    "rollback:pre_authorise": _("Go back as authorised beforehand"),
    "rollback:run": _("Begin the way back"),
    "step:claim": _("Take a step"),
    "step:doubt": _("Doubt a step: its worker is silent"),
    "step:fail": _("A step failed"),
    "step:stop": _("End a step"),
    "step:finish": _("Finish a step"),
    "watch:end": _("End the watch"),
    "window:lapse": _("End the application for a window"),
}
_HIDDEN = frozenset({"id", "history"})


@dataclass(frozen=True)
class Difference:
    """One key with what it was and what it became."""

    key: str
    before: str
    after: str


@dataclass(frozen=True)
class Happening:
    """One event. `details` is what an act says of itself, `differences` what a row event changed."""

    number: int | None
    kind: str
    at: datetime
    actor: str
    actor_label: str
    channel: str
    what: str
    action: str
    object: str
    outcome: str
    reason: str
    leaf: str
    signature: dict[str, Any]
    reasons: list[str]
    details: list[tuple[str, str]]
    differences: list[Difference]


def actor_name(label: str) -> str:
    """Return the printed name of an actor: the end of `person:7:name` or `worker:name`."""
    parts = label.split(":")
    return ":".join(parts[2:]) if len(parts) > 2 else parts[-1]


def act_name(action: str) -> str:
    """Return an action in words: its verb's label, or that of OTHER_ACTS."""
    return str(_labels().get(action, action))


def _labels() -> dict[str, Any]:
    return OTHER_ACTS | {verb.key: verb.label for verb in VERBS}


def _text(value: Any) -> str:
    if value is None:
        return "—"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def differences(before: dict[str, Any] | None, after: dict[str, Any] | None) -> list[Difference]:
    """Return the keys whose values differ, in the row's own order."""
    left, right = before or {}, after or {}
    keys = [*right, *(key for key in left if key not in right)]
    return [
        Difference(key, _text(left.get(key)), _text(right.get(key)))
        for key in keys
        if left.get(key) != right.get(key) and key not in _HIDDEN
    ]


def happening(event: Event) -> Happening:
    """Read one event, with its link when it has one."""
    link = getattr(event, "link", None)
    contents = event.contents
    after = contents.get("after") or {}
    row = event.kind == Event.Kind.ROW
    details = {} if row else {k: v for k, v in after.items() if k not in ("signature", "reasons", "kind")}
    return Happening(
        number=link.number if link is not None else None,
        kind=event.kind,
        at=event.at,
        actor=actor_name(event.actor),
        actor_label=event.actor,
        channel=event.channel,
        what=act_name(event.action),
        action=event.action,
        object=event.object,
        outcome=event.outcome,
        reason=event.reason,
        leaf=bytes(link.leaf).hex() if link is not None else "",
        signature={} if row else after.get("signature") or {},
        reasons=[] if row else [str(reason) for reason in after.get("reasons", [])],
        details=[(key, _text(value)) for key, value in details.items()],
        differences=differences(contents.get("before"), after) if row else [],
    )


def of_objects(labels: Iterable[str], limit: int = 60) -> list[Happening]:
    """Return the acts and refusals on objects (`app.Model:pk`), newest first, in one query."""
    events = (
        Event.objects.filter(object__in=list(labels), kind__in=["action", "refusal"], link__isnull=False)
        .select_related("link")
        .order_by("-link__number")[:limit]
    )
    return [happening(event) for event in events]
