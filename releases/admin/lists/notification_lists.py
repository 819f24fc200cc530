"""Lists and pages of recipient groups, channels, rules, templates, notifications and deliveries."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import Count, Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _t, gettext_lazy as _, pgettext_lazy

from audit.admin.read_only import ReadOnlyAdmin, cell, column
from environments.admin.rights import rights_of
from environments.language import language, listed, noted
from environments.times import stamp
from releases.admin.components.formatting import when
from releases.admin.pages.notification_preview.example import example_values
from releases.admin.pages.notification_preview.page import said_of
from releases.models import (
    Notification,
    NotificationChannel,
    NotificationDelivery,
    NotificationRule,
    NotificationTemplate,
    RecipientGroup,
    SuppressedAddress,
)
from releases.notifications.templates.events import PRE_RELEASED, notification_event
from releases.notifications.templates.placeholders import KNOWN_BEFOREHAND, PLACEHOLDERS, filled, used
from releases.operations.notification.approve_external import digest_of, outdated_by
from releases.operations.notification.supersede import NEWER
from releases.operations.notification_channel.change import blamed
from releases.operations.notification_template.edit import outdated_language


@admin.register(RecipientGroup)
class RecipientGroupAdmin(ReadOnlyAdmin):
    """Recipient groups."""

    list_display = ("__str__", "side", "people", "quiet", "closed")
    list_filter = ("side", ("closed_at", admin.EmptyFieldListFilter))
    shown_fields = ("key", "side", "quiet", "zone", "from_procedure", "closed_at")
    detail_template = "lists/recipient_group.html"
    hint = _("Groups come from the procedure. Recipients and quiet hours are entered here.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Count the members in the same query."""
        return super().get_queryset(request).annotate(count=Count("recipients", filter=Q(recipients__removed_at=None)))

    people = cell(int, "count", _("recipients"))

    @column(_("quiet hours"))
    def quiet(self, row: RecipientGroup) -> str:
        """Return the quiet hours."""
        if row.quiet_from == row.quiet_until:
            return _t("none")
        return noted(f"{row.quiet_from:%H:%M}–{row.quiet_until:%H:%M}", row.zone)

    closed = cell(stamp, "closed_at", _("closed"), "closed_at")

    def extra(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return the members, with whether their address is used, and the rules."""
        members = list(row.recipients.filter(removed_at=None).select_related("account", "group"))
        dead = {one.address.lower() for one in SuppressedAddress.objects.filter(lifted_at=None)}
        addresses = [(one, one.account.email if one.account is not None else one.address) for one in members]
        return {
            "members": [(one, address, address.lower() in dead) for one, address in addresses],
            # Whose data wait for an erasure.
            "removed": row.recipients.exclude(address="").exclude(removed_at=None).select_related("group"),
            "rules": row.rules.filter(removed_at=None).select_related("channel", "group"),
        }


@admin.register(NotificationChannel)
class NotificationChannelAdmin(ReadOnlyAdmin):
    """Notification channels."""

    list_display = ("__str__", "channel_type", "goes_to", "language", "standing")
    list_filter = ("channel_type",)
    shown_fields = (
        "key",
        "channel_type",
        "goes_to",
        "language",
        "standing",
        "lane",
        "disabled_at",
        "disabled_because",
        "blamed",
    )
    hint = _("Addresses and secrets are encrypted. Only the host is shown.")

    @column(_("goes to"))
    def goes_to(self, row: NotificationChannel) -> str:
        """Return the channel's destination, without secrets."""
        if row.channel_type in ("mail", "admin"):
            return _t("each person")
        return row.host or "—"

    @column(_("state"))
    def standing(self, row: NotificationChannel) -> str:
        """Return whether the channel can be used."""
        if row.disabled_at is not None:
            return _t("disabled")
        if row.unavailable_since is not None:
            because = {"since": when(row.unavailable_since), "because": _t(row.unavailable_because)}
            return _t("unavailable since %(since)s: %(because)s") % because
        if row.channel_type == "mail" and not settings.MAIL_HOST:
            return _t("no mail server is configured")
        if row.channel_type not in ("mail", "admin") and not row.encrypted:
            return _t("no address yet")
        return _t("in use")

    @column(_("failures in a row"))
    def lane(self, row: NotificationChannel) -> str:
        """Return the channel's failures since its last success, the error, and the time of the next attempt."""
        if not row.failures:
            return "0"
        return f"{row.failures} · {_t(row.last_failure)} · {_t('next attempt')} {when(row.next_send_at)}"

    @column(_("addresses suppressed by channel failure"))
    def blamed(self, row: NotificationChannel) -> str:
        """Return the addresses that are used again with the channel."""
        return listed(blamed(row).values_list("address", flat=True)) or "—"


@admin.register(NotificationRule)
class NotificationRuleAdmin(ReadOnlyAdmin):
    """Notification rules: event × recipients × channel × lead time."""

    list_display = ("event", "to", "channel", "lead", "from_procedure", "removed")
    list_display_links = ("event",)
    list_select_related = ("group", "channel")
    list_filter = ("group", "channel", ("removed_at", admin.EmptyFieldListFilter))
    lookups = frozenset({"event__exact"})
    shown_fields = ("event", "to", "channel", "lead", "from_procedure", "removed_at")
    list_per_page = 100
    hint = _("Rules come from the procedure, and more can be added. Each person is notified once of an event.")

    to = cell(lambda v: str(v) if v is not None else _t("people who must act"), "group", _("recipient group"))

    @column(_("hours before"), "lead_hours")
    def lead(self, row: NotificationRule) -> str:
        """Return the lead time."""
        known = notification_event(row.event)
        if known is None or not known.leads:
            return "—"
        return _t("each time") if row.lead_hours is None else str(row.lead_hours)

    removed = cell(stamp, "removed_at", _("removed"), "removed_at")


@admin.register(NotificationTemplate)
class NotificationTemplateAdmin(ReadOnlyAdmin):
    """Notification templates."""

    list_display = ("__str__", "written", "version", "edited_by", "edited")
    list_select_related = ("edited_by",)
    list_per_page = 100
    shown_fields = ("written", "version", "edited_by", "edited_at")
    detail_template = "lists/notification_template.html"
    hint = _(
        "Each event has a template in both languages. The default template is used until somebody writes another one."
    )

    @column(_("text"))
    def written(self, row: NotificationTemplate) -> str:
        """Return whether the text is a person's or the default."""
        own = [bool(row.subject_ja or row.body_ja), bool(row.subject_en or row.body_en)]
        if any(own) and not all(own):
            return (
                _t("custom in Japanese, default in English") if own[0] else _t("custom in English, default in Japanese")
            )
        return _t("custom") if any(own) else _t("default template")

    edited = cell(stamp, "edited_at", _("edited"), "edited_at")

    def extra(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return the text in each language, as written and filled with real values."""
        words = NotificationTemplate.words(row.event)
        values, about = example_values(row.event, rights_of(request).applications)
        shown = [
            {
                "language": name,
                "code": code,
                "words": words[code],
                "filled": {part: filled(text, values[code]) for part, text in words[code].items()},
            }
            for code, name in (("ja", _t("Japanese")), ("en", _t("English")))
        ]
        names = used("".join(part for text in words.values() for part in text.values()))
        return {
            "texts": shown,
            "about": about,
            "placeholders": [(f"{{{{ {name} }}}}", words, name in names) for name, words in PLACEHOLDERS.items()],
            "pre_released": row.event in PRE_RELEASED,
            "written_later": ", ".join(f"{{{{ {name} }}}}" for name in sorted(names - KNOWN_BEFOREHAND)),
            "behind": outdated_language(row),
            "versions": row.history.select_related("history_user").order_by("-history_id")[:20],
        }


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    """Notifications."""

    list_display = ("__str__", "kind_of", "release", "standing", "people", "made")
    list_select_related = ("release__application", "external_approved_by")
    list_filter = ("external", "urgent", ("external_approved_at", admin.EmptyFieldListFilter))
    lookups = frozenset({"release__id__exact"})
    detail_template = "lists/notification.html"
    hint = _(
        "Each event that a rule names is kept here with its text, its recipients and the outcome of each delivery."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Count the recipients in the same query."""
        return super().get_queryset(request).annotate(count=Count("inbox_items"))

    kind_of = cell(str, "event_label", _("event"), "event")

    @column(_("external stakeholders"))
    def standing(self, row: Notification) -> str:
        """Return the status of the external approval."""
        if not row.external:
            return "—"
        if row.cancelled_at is not None:
            return _t(NEWER) if row.cancelled_because == NEWER else _t("cancelled")
        if row.external_approved_at is None:
            return _t("awaiting approval for external recipients")
        return _t("approved for external recipients")

    people = cell(int, "count", _("recipients"))
    made = cell(stamp, "made_at", _("made"), "made_at")

    def extra(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return the texts, the reader's language first, and each delivery."""
        codes = sorted(row.texts, key=lambda code: code != language())
        names = {"ja": _t("Japanese"), "en": _t("English")}
        rows = (
            NotificationDelivery.objects.filter(inbox_item__notification=row)
            .select_related("inbox_item", "channel")
            .order_by("pk")
        )
        return {
            "texts": [(names[code], code, row.texts[code]) for code in codes],
            "deliveries": rows[:500],
            "nowhere": row.inbox_items.filter(deliveries=None),
            "digest": digest_of(row),
            "reminders": row.reminders.all(),
        }

    def fields_of(self, request: HttpRequest, row: Model) -> list[tuple[str, Any]]:
        """Return the status."""
        assert isinstance(row, Notification)
        shown: list[tuple[str, Any]] = [(_t("event"), row.event_label), (_t("made"), row.made_at)]
        if row.release is not None:
            shown.append((_t("release"), row.release))
        if row.external_approved_at is not None:
            by = row.external_approved_by or _t("the approval of the release")
            shown.append((_t("approved for external recipients"), f"{when(row.external_approved_at)} · {by}"))
        if row.cancelled_at is not None:
            shown.append((_t("cancelled"), f"{when(row.cancelled_at)} · {_t(row.cancelled_because)}"))
        if row.release is not None and row.external:
            shown.append((_t("current state of the release"), row.release.get_state_display()))
        if row.waits and (outdated := outdated_by(row)):
            shown.append((_t("out of date"), outdated))
        if row.remind_at is not None:
            shown.append((_t("next reminder"), row.remind_at))
        if row.completed_at is not None:
            shown.append((_t("action completed"), row.completed_at))
        return shown


@admin.register(NotificationDelivery)
class NotificationDeliveryAdmin(ReadOnlyAdmin):
    """Notification deliveries."""

    list_display = ("to", "about", "channel", "outcome", "tries", "said", "ended")
    list_select_related = ("inbox_item__notification", "channel")
    list_filter = ("outcome", "channel")
    search_fields = ("inbox_item__name", "address")
    shown_fields = ("to", "about", "channel", "address", "outcome", "tries", "next_at", "ended_at", "said")
    hint = _(
        "Ringi records each attempt. A failed delivery is tried again for a day. An undeliverable address is "
        "suppressed and shown."
    )

    to = cell(str, "inbox_item.name", _("recipient"), "inbox_item__name")
    about = cell(lambda v: v["subject"], "inbox_item.words", _("notification"))

    @column(_("answer or error"))
    def said(self, row: NotificationDelivery) -> str:
        """Return the answer, or the last error."""
        return said_of(row)

    ended = cell(stamp, "ended_at", _("ended"), "ended_at")


@admin.register(SuppressedAddress)
class SuppressedAddressAdmin(ReadOnlyAdmin):
    """Suppressed addresses: nothing is sent to them."""

    list_display = ("address", "reason", "began", "lifted", "lifted_by")
    list_select_related = ("lifted_by",)
    list_filter = (("lifted_at", admin.EmptyFieldListFilter),)
    hint = _(
        "A suppressed address has permanently refused mail. Ringi sends nothing there until somebody records that "
        "the address works again."
    )

    began = cell(stamp, "since", pgettext_lazy("suppressed address", "since"), "since")
    lifted = cell(stamp, "lifted_at", _("used again since"), "lifted_at")
