"""Notifications of events, their inbox items for each person or place, and their deliveries by each channel."""

import uuid
from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import get_language, gettext_lazy as _, pgettext_lazy

from environments.language import labelled
from environments.models import Account
from releases.models.approval_request import ApprovalRequest
from releases.models.recipients import LANGUAGES, GroupRecipient, NotificationChannel
from releases.models.release import Release
from releases.notifications.templates.events import notification_event


class Notification(models.Model):
    """The notification of one event; its texts are frozen here. Its external part waits for a second person's approval.

    texts: language → {"subject", "body"}. payload: the details of the operation. thing: label of the row whose
    completion ends it (`app.Model:pk`). cause: person_key of the actor of the event. Each state is a time stamp.
    """

    event = models.CharField(_("event"), max_length=60)
    outbox = models.BigIntegerField(_("number in the outbox"), unique=True)
    operation_id = models.UUIDField(_("operation ID"))
    object = models.CharField(_("object"), max_length=100)
    required_action = models.CharField(_("required action"), max_length=100, blank=True)
    release = models.ForeignKey(
        Release, models.PROTECT, null=True, blank=True, related_name="notifications", verbose_name=_("release")
    )
    parent = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="reminders", verbose_name=_("reminder of")
    )
    texts = models.JSONField(_("texts"))
    payload = models.JSONField(_("operation details"), default=dict)
    path = models.CharField(_("page"), max_length=200)
    cause = models.CharField(_("caused by"), max_length=100, blank=True)
    writer = models.CharField(_("text written by"), max_length=100, blank=True)
    urgent = models.BooleanField(_("urgent"), default=False)
    external = models.BooleanField(_("includes external recipients"), default=False)
    made_at = models.DateTimeField(_("made"))
    external_approved_at = models.DateTimeField(_("approved for external recipients"), null=True, blank=True)
    external_approved_by = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("external approval by")
    )
    approved_with_request = models.ForeignKey(
        ApprovalRequest,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("approved with approval request"),
    )
    cancelled_at = models.DateTimeField(_("cancelled"), null=True, blank=True)
    cancelled_because = models.CharField(_("reason for cancellation"), max_length=300, blank=True)
    remind_at = models.DateTimeField(_("next reminder"), null=True, blank=True)
    reminded = models.PositiveSmallIntegerField(_("reminders sent"), default=0)
    completed_at = models.DateTimeField(_("action completed"), null=True, blank=True)

    HIDDEN_ALONE = True
    LOCK_ORDER = 180

    class Meta:
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["remind_at"], name="notification_to_remind", condition=Q(remind_at__isnull=False)),
            models.Index(
                fields=["id"],
                name="notification_awaits_approval",
                condition=Q(external=True, external_approved_at__isnull=True, cancelled_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return str(self.texts["ja" if get_language() == "ja" else "en"]["subject"])

    @property
    def event_label(self) -> str:
        """Return the event in words."""
        known = notification_event(self.event)
        return str(known.label) if known is not None else self.event

    @property
    def waits(self) -> bool:
        """Tell whether external recipients still wait for an approval of the notification."""
        return self.external and self.external_approved_at is None and self.cancelled_at is None


class InboxItem(models.Model):
    """One notification for one person or place. `recipient` identifies them: a person_key, an address, a channel."""

    notification = models.ForeignKey(
        Notification, models.PROTECT, related_name="inbox_items", verbose_name=_("notification")
    )
    recipient = models.CharField(_("recipient"), max_length=300)
    key = models.UUIDField(_("key"), default=uuid.uuid4, unique=True)
    account = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="inbox", verbose_name=_("account")
    )
    group_recipient = models.ForeignKey(
        GroupRecipient, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("group recipient")
    )
    name = models.CharField(_("name"), max_length=200)
    language = models.CharField(_("language"), max_length=2, choices=LANGUAGES)
    external = models.BooleanField(_("external"), default=False)
    read_at = models.DateTimeField(_("read"), null=True, blank=True)

    PERSONAL = True
    LOCK_ORDER = 181

    class Meta:
        verbose_name = _("inbox item")
        verbose_name_plural = _("inbox items")
        ordering = ["pk"]
        constraints = [
            # An erasure empties the recipient.
            models.UniqueConstraint(
                fields=["notification", "recipient"], condition=~Q(recipient=""), name="inbox_item_once_per_person"
            )
        ]
        indexes = [
            models.Index(fields=["account", "-id"], name="inbox_item_unread", condition=Q(account__isnull=False))
        ]

    def __str__(self) -> str:
        return labelled(self.name or str(_("erased")), self.notification)

    @property
    def words(self) -> dict[str, str]:
        """Return subject and body in the recipient's language."""
        found: dict[str, str] = self.notification.texts[self.language]
        return found


class NotificationDelivery(models.Model):
    """One delivery by one channel, with each attempt. Without `next_at` it waits for approval, or has ended.

    tries, due_at (since when it is to be sent), next_at and last_error: its progress; outcome, answer and ended_at: its
    result. Cancelled: it was not sent, because a newer notification replaced it or it is out of date.
    """

    class Outcome(models.TextChoices):
        PENDING = "pending", _("pending")
        SENT = "sent", _("sent")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")
        SUPERSEDED = "superseded", _("superseded by a newer notification")

    inbox_item = models.ForeignKey(InboxItem, models.PROTECT, related_name="deliveries", verbose_name=_("notification"))
    channel = models.ForeignKey(
        NotificationChannel, models.PROTECT, related_name="deliveries", verbose_name=_("channel")
    )
    address = models.CharField(_("sent to"), max_length=300, blank=True)
    tries = models.PositiveSmallIntegerField(_("delivery attempts"), default=0)
    next_at = models.DateTimeField(_("next attempt"), null=True, blank=True)
    due_at = models.DateTimeField(_("due since"), null=True, blank=True)
    outcome = models.CharField(_("outcome"), max_length=12, choices=Outcome, default=Outcome.PENDING)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    response = models.CharField(_("answer"), max_length=300, blank=True)
    last_error = models.CharField(_("last error"), max_length=300, blank=True)

    HIDDEN_ALONE = True
    LOCK_ORDER = 182

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering = ["-pk"]
        constraints = [models.UniqueConstraint(fields=["inbox_item", "channel"], name="delivery_once_per_channel")]
        indexes = [
            models.Index(
                fields=["channel", "next_at"],
                name="delivery_due",
                condition=Q(outcome="pending", next_at__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.inbox_item.name} · {self.channel}"


class SuppressedAddress(models.Model):
    """A mail address that refused mail permanently. It gets no mail until somebody enables it again.

    channel: it was refused together with others, which shows a fault of that channel.
    """

    address = models.EmailField(_("mail address"))
    reason = models.CharField(_("reason"), max_length=300)
    since = models.DateTimeField(pgettext_lazy("suppressed address", "since"))
    channel = models.ForeignKey(
        NotificationChannel, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("faulty channel")
    )
    lifted_at = models.DateTimeField(_("used again since"), null=True, blank=True)
    lifted_by = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("enabled by")
    )

    LOCK_ORDER = 179

    class Meta:
        verbose_name = _("suppressed address")
        verbose_name_plural = _("suppressed addresses")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                Lower("address"), condition=Q(lifted_at__isnull=True), name="suppressed_address_once"
            )
        ]

    def __str__(self) -> str:
        return self.address

    @staticmethod
    def of(address: str) -> "SuppressedAddress | None":
        """Return the suppression of an address, or None."""
        return SuppressedAddress.objects.filter(address__iexact=address, lifted_at=None).first()


def unread(account: Any) -> int:
    """Return how many items in an account's inbox are unread."""
    return InboxItem.objects.filter(
        account=account,
        read_at=None,
        deliveries__channel__channel_type=NotificationChannel.Kind.ADMIN,
        deliveries__outcome="sent",
    ).count()
