"""Verbs on notifications: groups, recipients, channels, rules, templates, and external approval."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.urls import reverse
from django.utils.translation import get_language, gettext as _now, gettext_lazy as _

from audit.refusals import InvalidInput
from environments.admin.rights import Rights
from environments.models import Account
from environments.times import shown as when
from releases.admin.operations.access import people
from releases.admin.operations.approval import bound_to
from releases.admin.operations.base import Verb, clock, length, must, reason, removed, text
from releases.admin.pages.notification_preview.example import example_values
from releases.channel_types import CHANNEL_TYPES
from releases.channel_types.webhook import PREFIX
from releases.models import (
    GroupRecipient,
    InboxItem,
    Notification,
    NotificationChannel,
    NotificationDelivery,
    NotificationRule,
    NotificationTemplate,
    RecipientGroup,
    SuppressedAddress,
)
from releases.models.recipients import LANGUAGES
from releases.notifications.templates.defaults import default_words
from releases.notifications.templates.events import EVENTS
from releases.notifications.templates.placeholders import PLACEHOLDERS, fault_of, filled
from releases.operations.inbox import mark_read
from releases.operations.notification import approve_external as notifications
from releases.operations.notification_channel import change as channels
from releases.operations.notification_delivery import disable
from releases.operations.notification_rule import change as rules
from releases.operations.notification_template import edit as texts
from releases.operations.recipient import add
from releases.operations.recipient_group import change as groups

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


def _names(of: Any = None) -> Fields:
    return {
        "label_ja": text(_("name (Japanese)"), initial=of.label_ja if of else "", most=200),
        "label_en": text(_("name (English)"), initial=of.label_en if of else "", most=200),
    }


def _language(of: Any = None) -> forms.ChoiceField:
    return forms.ChoiceField(label=_("language"), choices=LANGUAGES, initial=of.language if of else "ja")


def _group(instance: Any) -> Fields:
    return {
        "key": forms.SlugField(label=_("key"), max_length=length(RecipientGroup, "key")),
        **_names(),
        "side": forms.ChoiceField(label=_("internal or external"), choices=RecipientGroup.Side.choices),
        **reason(instance),
    }


def _hours(instance: Any) -> Fields:
    group = instance if isinstance(instance, RecipientGroup) else None
    same = _("The same time in both fields means no quiet hours. Urgent notifications are sent at any time.")
    return {
        **_names(group),
        "quiet_from": clock(_("quiet hours start"), initial=group.quiet_from if group else None),
        "quiet_until": clock(_("quiet hours end"), initial=group.quiet_until if group else None, help_text=same),
        "zone": text(_("time zone"), initial=group.zone if group else "", most=length(RecipientGroup, "zone")),
        **reason(instance),
    }


def _member(instance: Any) -> Fields:
    person = people(_("person"))
    if isinstance(instance, RecipientGroup) and person.queryset is not None:
        person.queryset = person.queryset.exclude(memberships__in=instance.recipients.filter(removed_at=None))
    return {"account_id": person, **reason(instance)}


def _outsider(instance: Any) -> Fields:
    return {
        "name": text(_("full name"), most=length(GroupRecipient, "name")),
        "address": forms.EmailField(label=_("mail address")),
        "language": _language(),
        "reason": text(_("reason")),
    }


def _channel(instance: Any) -> Fields:
    names = dict(NotificationChannel.Kind.choices)
    return {
        "key": forms.SlugField(label=_("key"), max_length=length(NotificationChannel, "key")),
        "kind": forms.ChoiceField(
            label=_("type"), choices=[(k.name, names[k.name]) for k in CHANNEL_TYPES if not k.personal]
        ),
        **_names(),
        "language": _language(),
        **reason(instance),
    }


def _address(instance: Any) -> Fields:
    fields: dict[str, forms.Field] = {
        "url": forms.CharField(
            label=_("address of the channel"),
            max_length=1000,
            widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
            help_text=_("Enter an https://… address. Ringi encrypts it and never shows it again. Private networks must be "
                "on the list in the settings."),
        ),
        "language": _language(instance if isinstance(instance, NotificationChannel) else None),
        "reason": text(_("reason")),
    }  # fmt: skip
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
        other = {"ja": _now("Only the English text is changed; the Japanese one stays as it is. Do both say the same?"),
                 "en": _now("Only the Japanese text is changed; the English one stays as it is. Do both say the same?")}  # fmt: skip
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


def _closed(group: RecipientGroup) -> str:
    return _now("The recipient group is closed already.") if group.closed_at is not None else ""


def _removed(member: GroupRecipient) -> str:
    return _now("This recipient was removed already.") if member.removed_at is not None else ""


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


VERBS: tuple[Verb, ...] = (
    Verb("notification", "approve_external", _("Approve for external recipients"), notifications.approve_external, RELEASE, Notification, _digest, signs=True, why_not_permitted=_not_their_notification,
         shows=_goes_out, over=_current),
    Verb("notification", "cancel", _("Cancel external notification"), notifications.cancel, RELEASE, Notification, must, signs=True,
         danger=True, over=_free),
    Verb("recipient_group", "create", _("Create recipient group"), groups.create, NOTIFY, fields=_group, makes=RecipientGroup),
    Verb("recipient_group", "edit", _("Edit recipient group"), groups.edit, NOTIFY, RecipientGroup, _hours, over=_closed),
    Verb("recipient", "add", _("Add recipient"), add.add, NOTIFY, RecipientGroup, _member, over=_closed),
    Verb("recipient", "add_without_account", _("Add recipient without account"), add.add_external, NOTIFY, RecipientGroup,
         _outsider, signs=True, over=_closed),
    Verb("recipient_group", "disable", _("Close recipient group"), groups.close, NOTIFY, RecipientGroup, must, signs=True, danger=True,
         over=_closed),
    Verb("recipient", "remove", _("Remove recipient"), add.remove, NOTIFY, GroupRecipient, reason, danger=True, over=_removed),
    Verb("notification_channel", "create", _("Create channel"), channels.create, NOTIFY, fields=_channel, signs=True, makes=NotificationChannel),
    Verb("notification_channel", "set_address", _("Set the address"), channels.set_address, NOTIFY, NotificationChannel, _address,
         signs=True, over=_unusable),
    Verb("notification_channel", "send_test", _("Send test notification"), channels.send_test, NOTIFY, NotificationChannel, over=_off),
    Verb("notification_channel", "disable", _("Disable channel"), channels.disable, NOTIFY, NotificationChannel, must, danger=True,
         over=_off),
    Verb("notification_channel", "enable", _("Enable channel"), channels.enable, NOTIFY, NotificationChannel, must, over=_on),
    Verb("notification_rule", "add", _("Add notification rule"), rules.add, NOTIFY, fields=_rule, signs=True, makes=NotificationRule),
    Verb("notification_rule", "remove", _("Remove notification rule"), rules.remove, NOTIFY, NotificationRule, must, signs=True,
         danger=True, over=removed),
    Verb("notification_template", "edit", _("Edit notification template"), texts.edit, NOTIFY, NotificationTemplate, _text, signs=True,
         preview=_filled, looks=True),
    Verb("notification_template", "restore", _("Restore default template"), texts.restore, NOTIFY, NotificationTemplate, must, signs=True,
         danger=True, over=_own),
    Verb("notification_delivery", "bounce", _("Mark as bounced"), disable.bounce, NOTIFY, NotificationDelivery, must, danger=True, over=_unsent),
    Verb("suppressed_address", "enable", _("Enable suppressed address"), disable.enable_address, NOTIFY, SuppressedAddress, must, over=_used),
    OwnMessage("inbox", "mark_read", _("Open notification"), mark_read.read, ("read",), InboxItem, page=_leads_to),
    Verb("inbox", "mark_all_read", _("Mark all as read"), mark_read.read_all, ("read",), page=_inbox),
)  # fmt: skip
