"""The groups that were notified of a rollback in preparation: each item of the procedure with its record (B3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import get_language

from releases.models import Notification, Rollback
from releases.queries.delivery_status import DeliveryStatus, delivery_status

# The follow-up action of a pre-authorised rollback for the steps that it skipped.
FOLLOW_UP = "communication"


@dataclass(frozen=True)
class Communication:
    """One item with its record; all but key and label are empty without one.

    stated: how a person notified them without Ringi, in their words; notification and groups: Ringi's notification.
    """

    key: str
    label: str
    by: str = ""
    at: datetime | None = None
    stated: str = ""
    notification: Notification | None = None
    groups: Sequence[DeliveryStatus] = ()


def communications(rollback: Rollback) -> list[Communication]:
    """Return each item of the procedure with its record, in the procedure's order."""
    language, found = get_language() or "ja", []
    for item in rollback.deployment.content.rollback.communication:
        kept = rollback.facts.get("communication", {}).get(item.key)
        if kept is None:
            found.append(Communication(item.key, item.label(language)))
            continue
        notification = (
            Notification.objects.filter(operation_id=kept["operation_id"], event=event_of(item.key)).first()
            if not kept["stated"]
            else None
        )
        groups = delivery_status(notification) if notification is not None else []
        at = datetime.fromisoformat(kept["at"])
        found.append(
            Communication(item.key, item.label(language), kept["name"], at, kept["stated"], notification, groups)
        )
    return found


def uncommunicated(rollback: Rollback) -> list[str]:
    """Return the labels of the items without a notification; none in an environment without protection."""
    if not rollback.deployment.environment.protected:
        return []
    done, language = rollback.facts.get("communication", {}), get_language() or "ja"
    items = rollback.deployment.content.rollback.communication
    return [item.label(language) for item in items if item.key not in done]


def event_of(key: str) -> str:
    """Return the event by which Ringi notifies the people of an item."""
    return f"rollback:{key}"
