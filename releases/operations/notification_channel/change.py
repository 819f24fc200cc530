"""notification_channel:create, set_address, disable, enable and send_test: the channels of notifications."""

import base64
import secrets
import uuid
from urllib.parse import urlsplit

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _, override

from audit.clock import now
from audit.operation import label, operation, record_event, record_refusal
from audit.plain import is_blank
from audit.refusals import GateNotPassed, InvalidInput, NotPossible
from environments import access
from environments.secrets import encrypt
from releases import channel_types
from releases.channel_types.base import Address, NotDelivered, OutgoingMessage
from releases.channel_types.webhook import PREFIX
from releases.models import NotificationChannel, SuppressedAddress
from releases.notifications.templates.html import html_of
from releases.operations.notification_delivery.disable import disable_channel, enable_addresses, send_missed
from releases.operations.notification_delivery.send import address_of


def create(
    *, key: str, kind: str, label_ja: str, label_en: str, language: str, reason: str = ""
) -> NotificationChannel:
    """Create a channel; its address is set afterwards. Raises InvalidInput."""
    with operation("notification_channel:create", reason=reason, sign=True) as op:
        access.require("configure_notifications")
        if kind not in {known.name for known in channel_types.CHANNEL_TYPES}:
            raise InvalidInput(_("This channel type does not exist."))
        if channel_types.by_name(kind).personal:
            raise InvalidInput(_("The mail and admin screen channels already exist."))
        if is_blank(label_ja) or is_blank(label_en):
            raise InvalidInput(_("Enter the name in both languages."))
        if NotificationChannel.objects.filter(key=key).exists():
            raise InvalidInput(_("A channel with this key already exists."))
        made = NotificationChannel.objects.create(
            key=key, channel_type=kind, label_ja=label_ja.strip(), label_en=label_en.strip(), language=language
        )
        op.about(made, channel_type=kind)
        op.signature()
    return made


def set_address(channel_id: int, *, url: str, secret: str = "", language: str, reason: str) -> NotificationChannel:
    """Set the address of a channel, under signature; the guard of addresses is asked first. Raises InvalidInput.

    secret: of a webhook; empty = one is made. The returned row carries it as `secret`, this once.
    """
    unlocked = NotificationChannel.objects.get(pk=channel_id)
    kind = channel_types.by_name(unlocked.channel_type)
    made = kind.signs and is_blank(secret)
    if made:
        secret = PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
    # The resolver is asked before the operation opens: no transaction waits for it.
    place = address_of(NotificationChannel(), kind, "")
    fault = kind.fault(Address(url.strip(), secret.strip(), place.networks, place.hosts))
    with operation(
        "notification_channel:set_address", (NotificationChannel, channel_id), reason=reason, sign=True
    ) as op:
        access.require("configure_notifications")
        row = op.get(NotificationChannel)
        if kind.personal:
            raise NotPossible(_("In this channel, each person has their own address."))
        op.require_reason()
        if fault:
            raise InvalidInput(fault)
        values = {"url": url.strip(), **({"secret": secret.strip()} if kind.signs else {})}
        row.encrypted = {name: encrypt(text, row.bound_to(name)) for name, text in values.items()}
        row.host = _as_shown(url.strip())
        row.language = language
        if since := row.disabled_at or row.unavailable_since:
            send_missed(op, Q(channel=row), since)
        _fresh(row)
        op.details["host"] = row.host
        op.signature()
    if made:
        row.secret = secret  # type: ignore[attr-defined]
        row.secret_words = _("Webhook secret, shown only this once: %(secret)s")  # type: ignore[attr-defined]
    return row


def disable(channel_id: int, *, reason: str) -> NotificationChannel:
    """Disable a channel: nothing is sent through it. Raises InvalidInput, NotPossible."""
    with operation("notification_channel:disable", (NotificationChannel, channel_id), reason=reason) as op:
        access.require("configure_notifications")
        row = op.get(NotificationChannel)
        op.require_reason()
        if row.disabled_at is not None:
            raise NotPossible(_("This channel is already disabled."))
        disable_channel(row, reason.strip())
    return row


def enable(channel_id: int, *, reason: str) -> NotificationChannel:
    """Enable a channel again, with the addresses that its fault disabled and with what was missed, at once.

    Raises InvalidInput, NotPossible.
    """
    with operation("notification_channel:enable", (NotificationChannel, channel_id), reason=reason) as op:
        account = access.require("configure_notifications")
        row = op.get(NotificationChannel)
        op.require_reason()
        if is_in_use(row):
            raise NotPossible(_("This channel is not disabled."))
        enable_addresses(op, blamed(row).select_for_update(no_key=True).order_by("pk"), account)
        if since := min(filter(None, [row.disabled_at, row.unavailable_since]), default=None):
            send_missed(op, Q(channel=row), since)
        _fresh(row)
    return row


def is_in_use(row: NotificationChannel) -> bool:
    """Tell whether a channel is enabled, and no address was disabled by its fault."""
    return row.disabled_at is None and row.unavailable_since is None and not blamed(row).exists()


def blamed(row: NotificationChannel) -> QuerySet[SuppressedAddress]:
    """Return the addresses that a fault of a channel has disabled."""
    return SuppressedAddress.objects.filter(channel=row, lifted_at=None)


def _fresh(row: NotificationChannel) -> None:
    """Clear the recorded faults of a channel."""
    row.disabled_at, row.disabled_because = None, ""
    row.unavailable_since, row.unavailable_because = None, ""
    row.next_send_at, row.failures, row.last_failure = None, 0, ""


def send_test(channel_id: int) -> NotificationChannel:
    """Send one test message now. Raises GateNotPassed with the answer when it did not arrive."""
    with operation("notification_channel:send_test", (NotificationChannel, channel_id)) as op:
        account, row = access.require("configure_notifications"), op.get(NotificationChannel)
        if row.disabled_at is not None:
            raise NotPossible(_("This channel is already disabled."))
        kind = channel_types.by_name(row.channel_type)
        to = account.email if kind.personal else ""
        if (kind.personal and not kind.within and not to) or (not kind.personal and not row.encrypted):
            raise GateNotPassed(_("No address is entered."))
    with override(row.language):
        subject, text = _("Test message from Ringi"), _("This is a test of this channel. No action is needed.")
    message = OutgoingMessage(
        f"msg_{uuid.uuid4().hex}",
        "notification_channel:send_test",
        row.language,
        subject,
        text,
        html_of(subject, text, "", row.language),
        "",
        now(),
    )
    try:
        answer = kind.send(message, address_of(row, kind, to))
    except NotDelivered as fault:
        record_refusal("notification_channel:send_test", str(fault), object=label(row), kind=GateNotPassed.kind)
        raise GateNotPassed(str(fault)) from fault
    record_event("notification_channel:send_test", object=label(row), answer=answer)
    return row


def _as_shown(url: str) -> str:
    """Return what may be shown of an address: type and host, never its path, which is a key."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"{parts.scheme}://{host if '.' in host or host == 'localhost' else '…'}"
