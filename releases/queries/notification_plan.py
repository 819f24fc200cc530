"""The notifications that an entry of the outbox causes as things stand now: recipients, channels and texts."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.utils.translation import gettext_noop

from audit.models import Event, Outbox
from environments.models import Account
from releases import channel_types
from releases.models import (
    InboxItem,
    Notification,
    NotificationChannel,
    NotificationDelivery,
    NotificationTemplate,
    Release,
    SuppressedAddress,
)
from releases.models.document import published_path
from releases.notifications.templates.events import ANNOUNCE, KEYS, NotificationEvent
from releases.notifications.templates.placeholders import LONGEST, filled
from releases.queries.assignees import assignees, escalation_recipients, reminder_recipients
from releases.queries.notification_subject import AGAIN, Subject, asked_in, is_done, is_moved, subject_of, thing_of
from releases.queries.notification_values import values_of, zone_for
from releases.queries.recipients import Recipient, recipients, rules_for

LANGUAGES = ("ja", "en")
# What a run in an environment without protection tells, and only inside.
LOWER = ("deployment:await_decision", "deployment:fail", "poll:suspend")
SUBJECT = 200
# An unapproved text is not sent.
AGREED = ("approved", "ready_to_publish", "published")
# Kept as they stand here and put into the reader's language when they are shown.
NO_ADDRESS = gettext_noop("No mail address is entered.")
CHANNEL_OFF = gettext_noop("The channel is disabled.")
ADDRESS_OFF = gettext_noop("The address is suppressed.")


@dataclass(frozen=True)
class Plan:
    """The content of the notification of an entry: the event, its subject, whom, in which words; who caused it and who
    wrote them.
    """

    event_type: NotificationEvent
    subject: Subject
    recipients: list[Recipient]
    texts: dict[str, dict[str, str]]
    acting: list[Account]
    cause: str
    writer: str


def planned(entry: Outbox, *, though_done: bool = False) -> Plan | None:
    """Return what an entry would tell as things stand now; None when its row is gone, or its duty done or moved
    already.

    though_done: what it would tell were the duty still open and the release announced, for a preview.
    """
    event_type, subject = KEYS[entry.event], subject_of(entry.object)
    if subject is None or (_unheard(event_type, subject) and not though_done):
        return None
    thing = thing_of(event_type.key, subject, entry.payload)
    asked = (
        asked_in(subject.row) if event_type.key in AGAIN and isinstance(subject.row, Notification) else entry.payload
    )
    if (
        (event_type.required_action or event_type.key in AGAIN)
        and not though_done
        and (is_done(thing) or is_moved(thing, asked))
    ):
        return None
    acting = _acting(event_type, subject, entry.payload)
    rules = rules_for(event_type.key, entry.payload.get("lead_hours") if event_type.leads else None)
    found = recipients(rules, acting, zone_for(subject))
    if isinstance(subject.row, NotificationChannel):  # it is event_type of by every other way
        for one in found:
            one.channels.pop(subject.row.pk, None)
        found = [one for one in found if one.channels]
    if not _protected(subject):
        found = [one for one in found if not one.outside]
    elif event_type.follows and not though_done:
        heard = _heard_of(subject.release)
        found = [one for one in found if not one.outside or one.key in heard]
    event = Event.objects.filter(operation_id=entry.operation_id, kind=Event.Kind.OPERATION).first()
    doer, name = _doer(event.actor if event is not None else "")
    reason = event.reason if event is not None else ""
    given = {"at": entry.created_at, "actor": name, "reason": reason, "payload": entry.payload}
    words, writer = NotificationTemplate.written(event_type.key)
    texts = {}
    for language in LANGUAGES:
        values = values_of(subject, language=language, thing=thing, **given)
        texts[language] = {
            "subject": " ".join(filled(words[language]["subject"], values).split())[:SUBJECT],
            "body": filled(words[language]["body"], values) + attachments(event_type.key, subject.release, language),
        }
    return Plan(event_type, subject, found, texts, acting, doer, writer)


def _acting(event_type: NotificationEvent, subject: Subject, payload: dict[str, Any]) -> list[Account]:
    if isinstance(subject.row, Notification) and event_type.key == "notification:remind":
        return reminder_recipients(subject.row)
    if isinstance(subject.row, Notification) and event_type.key == "notification:escalate":
        return escalation_recipients(subject.row)
    return assignees(event_type.key, subject, payload)


def acting_now(notification: Notification) -> list[Account]:
    """Return the persons who must act on a notification, or whom it concerns, as things stand now."""
    subject = subject_of(notification.object)
    return _acting(KEYS[notification.event], subject, notification.payload) if subject is not None else []


def _heard_of(release: Release | None) -> set[str]:
    """Return the recipients whom the announcement of a release has reached, or may have: one that is being tried."""
    announced = InboxItem.objects.filter(notification__event=ANNOUNCE, notification__release=release)
    sent = Q(deliveries__outcome=NotificationDelivery.Outcome.SENT)
    tried = Q(deliveries__outcome=NotificationDelivery.Outcome.PENDING, deliveries__tries__gt=0)
    return set(announced.filter(sent | tried).values_list("recipient", flat=True))


def _protected(subject: Subject) -> bool:
    return subject.deployment is None or subject.deployment.environment.protected


def _unheard(event_type: NotificationEvent, subject: Subject) -> bool:
    """Tell whether a run is of an environment in which people try things out, or an approval is about no release."""
    about_no_release = (
        event_type.key.startswith("approval:") and event_type.key != "approval:request" and subject.release is None
    )
    return about_no_release or (not _protected(subject) and event_type.key not in LOWER)


def _doer(actor: str) -> tuple[str, str]:
    """Return (person_key, printed name) of the actor of an event; a process has no key."""
    kind, _colon, rest = actor.partition(":")
    pk, _second, name = rest.partition(":")
    account = Account.objects.filter(pk=pk).first() if kind in ("person", "service") and pk.isdecimal() else None
    return (account.person_key, str(account)) if account is not None else ("", name or rest)


def unusable(channel: NotificationChannel, address: str) -> str:
    """Return why nothing is sent there at all; empty when it is tried."""
    kind = channel_types.by_name(channel.channel_type)
    if kind.personal and not kind.within and not address:
        return NO_ADDRESS
    if channel.disabled_at is not None:
        return CHANNEL_OFF
    if not kind.within and address and SuppressedAddress.of(address) is not None:
        return ADDRESS_OFF
    return ""


def page_address(notification: Notification) -> str:
    """Return the whole address of the page that a notification leads to."""
    return settings.BASE_URL.rstrip("/") + notification.path


def attachments(event: str, release: Release | None, language: str) -> str:
    """Return name, address and text of each document that the rule names, to be put below a message; empty for none.

    language: of the names; a text is in the language in which it was written. A long text is cut; its address has it
    whole.
    """
    if release is None or release.procedure is None:
        return ""
    content = release.procedure.document
    wanted = next((rule.documents for rule in content.notification_rules if rule.event == event), ())
    labels = {row.key: row.label(language) for row in content.documents}
    rows = {row.kind: row for row in release.documents.filter(kind__in=wanted, state__in=AGREED)}
    parts = []
    for row in (rows[key] for key in wanted if key in rows):
        text = row.body if len(row.body) <= LONGEST else f"{row.body[:LONGEST]} …"
        parts.append(f"\n\n{labels[row.kind]}\n{settings.BASE_URL.rstrip('/')}{published_path(row)}\n\n{text}")
    return "".join(parts)
