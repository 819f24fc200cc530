"""Verbs on notifications: channels, rules, templates, deliveries, the inbox, and external approval."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from django import forms
from django.urls import reverse
from django.utils.translation import get_language, gettext as _now, gettext_lazy as _

from audit.refusals import InvalidInput
from environments.admin.rights import Rights
from environments.models import Account
from environments.times import shown as when
from releases.admin.operations.approval import bound_to
from releases.admin.operations.base import Verb, removed
from releases.admin.operations.fields import length, reason, text
from releases.admin.operations.recipients import language_of, names_in
from releases.admin.pages.notification_preview.example import example_values
from releases.channel_types import CHANNEL_TYPES
from releases.channel_types.webhook import PREFIX
from releases.models import (
    InboxItem,
    Notification,
    NotificationChannel,
    NotificationDelivery,
    NotificationRule,
    NotificationTemplate,
    RecipientGroup,
    SuppressedAddress,
)
from releases.notifications.templates.defaults import default_words
from releases.notifications.templates.events import EVENTS
from releases.notifications.templates.placeholders import PLACEHOLDERS, fault_of, filled
from releases.operations.inbox import mark_read
from releases.operations.notification import approve_external as notifications
from releases.operations.notification_channel import change as channels
from releases.operations.notification_delivery import disable
from releases.operations.notification_rule import change as rules
from releases.operations.notification_template import edit as texts

Fields = Mapping[str, forms.Field]
NOTIFY, RELEASE = ("configure_notifications",), ("approve_external",)


@dataclass(frozen=True)
class OwnMessage(Verb):
    """A verb on the reader's own inbox items."""

    def for_you(self, rights: Rights, instance: Any) -> bool:
        """Answer as the operation does."""
        return isinstance(instance, InboxItem) and instance.account == rights.account


def _not_their_notification(account: Account, notification: Notification) -> str:
    return notifications.why_not(notification, account)


def _channel(instance: Any) -> Fields:
    names = dict(NotificationChannel.Kind.choices)
    return {
        "key": forms.SlugField(label=_("key"), max_length=length(NotificationChannel, "key")),
        "kind": forms.ChoiceField(
            label=_("type"), choices=[(k.name, names[k.name]) for k in CHANNEL_TYPES if not k.personal]
        ),
        **names_in(),
        "language": language_of(),
        **reason(instance),
    }


def _address(instance: Any) -> Fields:
    fields: dict[str, forms.Field] = {
        "url": forms.CharField(
            label=_("address of the channel"),
            max_length=1000,
            widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
            help_text=_(
                "Enter an https://… address. Ringi encrypts it and never shows it again. Private networks must be "
                "on the list in the settings."
            ),
        ),
        "language": language_of(instance if isinstance(instance, NotificationChannel) else None),
        "reason": text(_("reason")),
    }
    if isinstance(instance, NotificationChannel) and instance.channel_type == NotificationChannel.Kind.WEBHOOK:
        fields["secret"] = forms.CharField(
            label=_("secret"),
            required=False,
            max_length=200,
            widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
            help_text=_(
                "Enter the receiver's secret (%(prefix)s…). If empty, Ringi creates a secret and shows it once."
            )
            % {"prefix": PREFIX},
        )
    return fields


def _rule(instance: Any) -> Fields:
    return {
        "event": forms.ChoiceField(label=_("event"), choices=[(one.key, one.label) for one in EVENTS]),
        "group_id": forms.ModelChoiceField(
            label=_("recipient group"),
            queryset=RecipientGroup.objects.filter(closed_at=None),
            required=False,
            empty_label=_now("people who must act"),
        ),
        "channel_id": forms.ModelChoiceField(label=_("channel"), queryset=NotificationChannel.objects.all()),
        "lead_hours": forms.IntegerField(
            label=_("hours before"),
            required=False,
            min_value=0,
            max_value=2000,
            help_text=_(
                "This field is for milestones only. If empty, Ringi notifies at each lead time of the release "
                "procedure; with 0, when the milestone is overdue."
            ),
        ),
        **reason(instance),
    }


def _usual(row: NotificationTemplate, name: str) -> str:
    words = default_words(row.event, name[-2:])
    return words.subject if name.startswith("subject") else words.body


def _words_now(row: NotificationTemplate, name: str) -> str:
    return getattr(row, name) or _usual(row, name)


def _text(instance: Any) -> Fields:
    row = instance if isinstance(instance, NotificationTemplate) else None
    places = ", ".join(f"{{{{ {name} }}}}" for name in PLACEHOLDERS)

    def now(name: str) -> str:
        return _words_now(row, name) if row is not None else ""

    return {
        "subject_ja": text(_("subject (Japanese)"), required=False, initial=now("subject_ja"), most=200),
        "body_ja": text(_("text (Japanese)"), required=False, rows=12, initial=now("body_ja"), most=10_000),
        "subject_en": text(_("subject (English)"), required=False, initial=now("subject_en"), most=200),
        "body_en": forms.CharField(
            label=_("text (English)"),
            required=False,
            widget=forms.Textarea(attrs={"rows": 12}),
            initial=now("body_en"),
            max_length=10_000,
            help_text=_("Placeholders: %(places)s. If empty, Ringi uses the default template.") % {"places": places},
        ),
        **reason(instance),
    }


def _filled(instance: NotificationTemplate, values: dict[str, Any]) -> list[tuple[str, str]]:
    """Return subject and text in both languages with real values, before they are stored."""
    real, about = example_values(instance.event)
    shown = [(_now("example values from"), about or "—")]
    now = {name: _words_now(instance, name) for name in texts.FIELDS}
    if left := texts.single_language(
        now, {name: values[name].replace("\r\n", "\n").strip() or _usual(instance, name) for name in now}
    ):
        other = {
            "ja": _now("Only the English text is changed; the Japanese one stays as it is. Do both say the same?"),
            "en": _now("Only the Japanese text is changed; the English one stays as it is. Do both say the same?"),
        }
        shown.append((_now("one language only"), other[left]))
    for code, name in (("ja", _now("Japanese")), ("en", _now("English"))):
        ours = default_words(instance.event, code)
        for part, usual in (("subject", ours.subject), ("body", ours.body)):
            words = values[f"{part}_{code}"].strip() or usual
            if fault := fault_of(words):
                raise InvalidInput(fault)
            shown.append(
                (f"{name} · {_now('Subject line') if part == 'subject' else _now('text')}", filled(words, real[code]))
            )
    return shown


def _digest(instance: Any) -> Fields:
    shown = notifications.digest_of(instance) if isinstance(instance, Notification) else ""
    return {**bound_to(shown), **reason(instance)}


def _goes_out(notification: Notification) -> list[tuple[str, str]]:
    """Return what is approved: both texts and every external recipient."""
    names = {"ja": _now("Japanese"), "en": _now("English")}
    shown = [(_now("written"), when(notification.made_at))]
    if notification.release is not None:
        shown.append(
            (
                _now("current state of the release"),
                f"{notification.release} · {notification.release.get_state_display()}",
            )
        )
    for code in sorted(notification.texts, key=lambda code: code != get_language()):
        shown.append((f"{names[code]} · {_now('Subject line')}", notification.texts[code]["subject"]))
        shown.append((f"{names[code]} · {_now('text')}", notification.texts[code]["body"]))
    people = notification.inbox_items.filter(external=True).order_by("pk")
    to = "\n".join(f"{one.name} ({names[one.language]})" for one in people[:200])
    return [*shown, (_now("external recipients"), to)]


def _free(notification: Notification) -> str:
    return "" if notification.waits else _now("This notification is not awaiting approval for external recipients.")


def _current(notification: Notification) -> str:
    return _free(notification) or notifications.outdated_by(notification)


def _unusable(channel: NotificationChannel) -> str:
    personal = channel.channel_type in (NotificationChannel.Kind.MAIL, NotificationChannel.Kind.ADMIN)
    return _now("In this channel, each person has their own address.") if personal else ""


def _off(channel: NotificationChannel) -> str:
    return _now("This channel is already disabled.") if channel.disabled_at is not None else ""


def _on(channel: NotificationChannel) -> str:
    return _now("This channel is not disabled.") if channels.is_in_use(channel) else ""


def _used(address: SuppressedAddress) -> str:
    return _now("This address is already enabled.") if address.lifted_at is not None else ""


def _unsent(delivery: NotificationDelivery) -> str:
    sent = delivery.outcome == NotificationDelivery.Outcome.SENT and delivery.address
    return "" if sent else _now("Only a mail that was sent can be marked as bounced.")


def _own(row: NotificationTemplate) -> str:
    own = any((row.subject_ja, row.body_ja, row.subject_en, row.body_en))
    return "" if own else _now("The default template is in use.")


def _leads_to(message: Any) -> str:
    return str(message.notification.path)


def _inbox(_row: Any) -> str:
    return reverse("inbox")


on_notification = partial(Verb, "notification", rights=RELEASE, model=Notification, signs=True)
on_notification_channel = partial(Verb, "notification_channel", rights=NOTIFY, model=NotificationChannel)
on_notification_rule = partial(Verb, "notification_rule", rights=NOTIFY, signs=True)
on_notification_template = partial(Verb, "notification_template", rights=NOTIFY, model=NotificationTemplate, signs=True)
VERBS: tuple[Verb, ...] = (
    on_notification(
        "approve_external",
        _("Approve for external recipients"),
        notifications.approve_external,
        fields=_digest,
        why_not_permitted=_not_their_notification,
        shows=_goes_out,
        over=_current,
    ),
    on_notification("cancel", _("Cancel external notification"), notifications.cancel, danger=True, over=_free),
    on_notification_channel(
        "create",
        _("Create channel"),
        channels.create,
        fields=_channel,
        signs=True,
        makes=NotificationChannel,
        model=None,
    ),
    on_notification_channel(
        "set_address", _("Set the address"), channels.set_address, fields=_address, signs=True, over=_unusable
    ),
    on_notification_channel("send_test", _("Send test notification"), channels.send_test, over=_off),
    on_notification_channel("disable", _("Disable channel"), channels.disable, danger=True, over=_off),
    on_notification_channel("enable", _("Enable channel"), channels.enable, over=_on),
    on_notification_rule("add", _("Add notification rule"), rules.add, fields=_rule, makes=NotificationRule),
    on_notification_rule(
        "remove", _("Remove notification rule"), rules.remove, model=NotificationRule, danger=True, over=removed
    ),
    on_notification_template(
        "edit", _("Edit notification template"), texts.edit, fields=_text, preview=_filled, looks=True
    ),
    on_notification_template("restore", _("Restore default template"), texts.restore, danger=True, over=_own),
    Verb(
        "notification_delivery",
        "bounce",
        _("Mark as bounced"),
        disable.bounce,
        NOTIFY,
        NotificationDelivery,
        danger=True,
        over=_unsent,
        for_all=True,
    ),
    Verb(
        "suppressed_address",
        "enable",
        _("Enable suppressed address"),
        disable.enable_address,
        NOTIFY,
        SuppressedAddress,
        over=_used,
    ),
    OwnMessage("inbox", "mark_read", _("Open notification"), mark_read.read, ("read",), InboxItem, page=_leads_to),
    Verb("inbox", "mark_all_read", _("Mark all as read"), mark_read.read_all, ("read",), page=_inbox),
)
