"""Recipient groups, channels, notification rules and templates (P5, P6)."""

from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from audit.snapshots import Snapshots
from environments.models import Account
from environments.times import office_zone
from releases.models.preparation import Labelled
from releases.notifications.templates.defaults import default_words
from releases.notifications.templates.events import EVENTS, notification_event

LANGUAGES = [("ja", _("Japanese")), ("en", _("English"))]


class RecipientGroup(Labelled):
    """A recipient group. Quiet hours may go over midnight; the same hour twice means none."""

    class Side(models.TextChoices):
        INTERNAL = "internal", _("internal")
        EXTERNAL = "external", _("external")

    key = models.SlugField(_("key"), max_length=60, unique=True)
    side = models.CharField(_("internal or external"), max_length=8, choices=Side)
    quiet_from = models.TimeField(_("quiet hours start"), default="22:00")
    quiet_until = models.TimeField(_("quiet hours end"), default="07:00")
    zone = models.CharField(_("time zone"), max_length=40, default=office_zone)
    from_procedure = models.BooleanField(_("from the procedure"), default=False)
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)
    history: Any = Snapshots()

    LOCK_ORDER = 170

    class Meta:
        verbose_name = _("recipient group")
        verbose_name_plural = _("recipient groups")
        ordering = ["-side", "pk"]

    @property
    def outside(self) -> bool:
        """Tell whether its notifications wait for a second person."""
        return self.side == self.Side.EXTERNAL


class GroupRecipient(models.Model):
    """A person in a group: an account, or an external person with name, address and language."""

    group = models.ForeignKey(
        RecipientGroup, models.PROTECT, related_name="recipients", verbose_name=_("recipient group")
    )
    account = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="memberships", verbose_name=_("account")
    )
    name = models.CharField(_("full name"), max_length=100, blank=True)
    address = models.EmailField(_("mail address"), blank=True)
    language = models.CharField(_("language"), max_length=2, choices=LANGUAGES, default="ja")
    added_at = WrittenAtField(_("added"), auto_now_add=True)
    removed_at = models.DateTimeField(_("removed"), null=True, blank=True)
    history: Any = Snapshots()

    LOCK_ORDER = 171

    class Meta:
        verbose_name = _("recipient")
        verbose_name_plural = _("recipients")
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(account__isnull=False, address="")
                | (Q(account__isnull=True) & ~Q(address=""))
                # Emptied by an erasure.
                | Q(account__isnull=True, removed_at__isnull=False, name=""),
                name="recipient_account_or_address",
            ),
            models.UniqueConstraint(
                fields=["group", "account"], condition=Q(removed_at__isnull=True), name="recipient_account_once"
            ),
            models.UniqueConstraint(
                "group",
                Lower("address"),
                condition=Q(removed_at__isnull=True, account__isnull=True),
                name="recipient_address_once",
            ),
        ]

    def __str__(self) -> str:
        return str(self.account) if self.account_id is not None else self.name or self.address or str(_("erased"))


class NotificationChannel(Labelled):
    """A notification channel. Its address and secret are encrypted; `host` is the part that may be shown.

    next_send_at, faults and last_failure: when it may send next, and its failures since the last success.
    unavailable_since: it has failed several times in a row, and people were notified.
    """

    class Kind(models.TextChoices):
        MAIL = "mail", _("Mail")
        SLACK = "slack", _("Slack")
        ADMIN = "admin", _("Admin screen")
        WEBHOOK = "webhook", _("Webhook")
        APPRISE = "apprise", _("Apprise")

    key = models.SlugField(_("key"), max_length=60, unique=True)
    channel_type = models.CharField(_("type"), max_length=8, choices=Kind)
    language = models.CharField(_("language"), max_length=2, choices=LANGUAGES, default="ja")
    host = models.CharField(_("goes to"), max_length=200, blank=True)
    encrypted = models.JSONField(_("encrypted"), default=dict, blank=True)
    from_procedure = models.BooleanField(_("from the procedure"), default=False)
    disabled_at = models.DateTimeField(_("disabled"), null=True, blank=True)
    disabled_because = models.CharField(_("reason for disabling"), max_length=300, blank=True)
    next_send_at = models.DateTimeField(_("next sending"), null=True, blank=True)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    last_failure = models.CharField(_("last failure"), max_length=300, blank=True)
    unavailable_since = models.DateTimeField(_("unavailable since"), null=True, blank=True)
    unavailable_because = models.CharField(_("reason for unavailability"), max_length=300, blank=True)
    history: Any = Snapshots(excluded_fields=["encrypted", "next_send_at", "failures", "last_failure"])

    LOCK_ORDER = 172

    class Meta:
        verbose_name = _("channel")
        verbose_name_plural = _("channels")
        ordering = ["pk"]

    def bound_to(self, name: str) -> str:
        """Return what an encrypted value is bound to, so that it opens in this row only."""
        return f"channel:{self.pk}:{name}"


class NotificationRule(models.Model):
    """Event × recipients × channel × lead. Without a group it is for the people who must act. Removed, never
    deleted.
    """

    event = models.CharField(
        _("event"), max_length=60, choices=[(event.key, event.label) for event in EVENTS if event.key]
    )
    group = models.ForeignKey(
        RecipientGroup, models.PROTECT, null=True, blank=True, related_name="rules", verbose_name=_("recipient group")
    )
    channel = models.ForeignKey(NotificationChannel, models.PROTECT, related_name="rules", verbose_name=_("channel"))
    lead_hours = models.PositiveSmallIntegerField(
        _("hours before"), null=True, blank=True, help_text=_("empty = every reminder time, 0 = when overdue")
    )
    from_procedure = models.BooleanField(_("from the procedure"), default=False)
    removed_at = models.DateTimeField(_("removed"), null=True, blank=True)
    history: Any = Snapshots()

    LOCK_ORDER = 173

    class Meta:
        verbose_name = _("notification rule")
        verbose_name_plural = _("notification rules")
        ordering = ["event", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["event", "group", "channel", "lead_hours"],
                condition=Q(removed_at__isnull=True),
                nulls_distinct=False,
                name="notification_rule_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_event_display()} → {self.group or _('people who must act')} · {self.channel}"


class NotificationTemplate(models.Model):
    """The notification template of an event. An empty text stands for the default one; the history keeps each
    version.
    """

    event = models.CharField(_("event"), max_length=60, unique=True)
    subject_ja = models.CharField(_("subject (Japanese)"), max_length=200, blank=True)
    body_ja = models.TextField(_("text (Japanese)"), blank=True)
    subject_en = models.CharField(_("subject (English)"), max_length=200, blank=True)
    body_en = models.TextField(_("text (English)"), blank=True)
    version = models.PositiveIntegerField(_("version"), default=0)
    edited_by = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("edited by")
    )
    edited_at = models.DateTimeField(_("edited"), null=True, blank=True)
    history: Any = Snapshots()

    LOCK_ORDER = 174

    class Meta:
        verbose_name = _("notification template")
        verbose_name_plural = _("notification templates")
        ordering = ["pk"]

    def __str__(self) -> str:
        known = notification_event(self.event)
        return str(known.label) if known is not None else self.event

    @staticmethod
    def words(event: str) -> dict[str, dict[str, str]]:
        """Return language → {"subject", "body"} of an event's present template, with placeholders."""
        return NotificationTemplate.words_of([event])[event]

    @staticmethod
    def written(event: str) -> tuple[dict[str, dict[str, str]], str]:
        """Return the present texts and the person_key of their author, empty for the default ones; of one moment."""
        row = NotificationTemplate.objects.filter(event=event).select_related("edited_by").first()
        writer = row.edited_by.person_key if row is not None and row.edited_by is not None else ""
        return {language: _now(row, event, language) for language, _n in LANGUAGES}, writer

    @staticmethod
    def words_of(events: Iterable[str]) -> dict[str, dict[str, dict[str, str]]]:
        """Return event → texts, for several events in one query."""
        wanted = list(events)
        rows = {row.event: row for row in NotificationTemplate.objects.filter(event__in=wanted)}
        return {
            event: {language: _now(rows.get(event), event, language) for language, _n in LANGUAGES} for event in wanted
        }


def _now(row: NotificationTemplate | None, event: str, language: str) -> dict[str, str]:
    ours = default_words(event, language)
    return {
        "subject": getattr(row, f"subject_{language}", "") or ours.subject,
        "body": getattr(row, f"body_{language}", "") or ours.body,
    }
