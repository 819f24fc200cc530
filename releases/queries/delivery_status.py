"""The delivery of a notification, counted for each recipient group (P3, B3)."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from releases.models import InboxItem, Notification, NotificationDelivery


@dataclass
class DeliveryStatus:
    """The deliveries of a notification to one recipient group (or to one place such as a channel), counted."""

    group: str
    sent: int = 0
    failed: int = 0
    waiting: int = 0

    @property
    def words(self) -> str:
        """Return the three counts in words."""
        counts = {"sent": self.sent, "failed": self.failed, "waiting": self.waiting}
        return _("sent %(sent)d, failed %(failed)d, pending %(waiting)d") % counts


def delivery_status(notification: Notification) -> list[DeliveryStatus]:
    """Return the counted deliveries of a notification per recipient group, in the order of notification."""
    found: dict[str, DeliveryStatus] = {}
    fields = {NotificationDelivery.Outcome.SENT: "sent", NotificationDelivery.Outcome.PENDING: "waiting"}
    messages = (
        InboxItem.objects.filter(notification=notification)
        .select_related("group_recipient__group", "account")
        .order_by("pk")
    )
    for message in messages.prefetch_related("deliveries"):
        name = str(message.group_recipient.group) if message.group_recipient is not None else message.name
        row = found.setdefault(name, DeliveryStatus(name))
        for delivery in message.deliveries.all():
            counted = fields.get(NotificationDelivery.Outcome(delivery.outcome), "failed")
            setattr(row, counted, getattr(row, counted) + 1)
    return list(found.values())
