"""notification:approve_external and notification:cancel: a second person approves what goes to external recipients."""

import hashlib

import rfc8785
from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.models import Account
from releases import channel_types
from releases.models import Notification, NotificationDelivery
from releases.notifications.templates.events import notification_event
from releases.operations.notification.supersede import end_waiting, moved_since
from releases.queries.recipients import Recipient, not_before


def digest_of(notification: Notification) -> str:
    """Return the SHA-256 over what is approved: the texts in both languages and the items of their recipients, whose
    names and addresses it does not tell, so that it stays the same after an erasure.
    """
    to = sorted(str(key) for key in notification.inbox_items.filter(external=True).values_list("key", flat=True))
    return hashlib.sha256(rfc8785.dumps({"texts": notification.texts, "to": to})).hexdigest()


def approve_external(notification_id: int, *, digest: str, reason: str = "") -> Notification:
    """Approve a notification for external recipients, as a second person who was shown exactly this.

    Raises NotPermitted, NotPossible, InvalidInput.
    """
    with operation("notification:approve_external", (Notification, notification_id), reason=reason, sign=True) as op:
        account = access.require("approve_external")
        notification = op.get(Notification)
        if not notification.waits:
            raise NotPossible(_("This notification is not awaiting approval for external recipients."))
        if why := why_not(notification, account):
            raise NotPermitted(why)
        if outdated := outdated_by(notification):
            raise NotPossible(outdated)
        if digest != digest_of(notification):
            raise InvalidInput(
                _("The text or the recipients shown to you differ from the current ones. Read them again.")
            )
        moment = now()
        notification.external_approved_at, notification.external_approved_by = moment, account
        waiting = NotificationDelivery.objects.select_for_update(of=("self",), no_key=True).filter(
            inbox_item__notification=notification, outcome=NotificationDelivery.Outcome.PENDING, next_at=None
        )
        for row in waiting.select_related(
            "inbox_item__group_recipient__group", "inbox_item__account", "channel"
        ).order_by("pk"):
            if channel_types.by_name(row.channel.channel_type).within:
                row.outcome, row.ended_at = NotificationDelivery.Outcome.SENT, moment
            else:
                row.due_at = row.next_at = not_before(_heard(row), moment, notification.urgent)
            row.save()
        op.signature(digest)
        op.details["notifications"] = notification.inbox_items.filter(external=True).count()
    return notification


def cancel(notification_id: int, *, reason: str) -> Notification:
    """Cancel the waiting external deliveries; internal ones stay sent. Raises NotPossible, InvalidInput."""
    with operation("notification:cancel", (Notification, notification_id), reason=reason, sign=True) as op:
        access.require("approve_external")
        notification = op.get(Notification)
        if not notification.waits:
            raise NotPossible(_("This notification is not awaiting approval for external recipients."))
        op.require_reason()
        notification.cancelled_at, notification.cancelled_because = now(), reason.strip()[:300]
        end_waiting(notification, NotificationDelivery.Outcome.CANCELLED)
        op.signature()
    return notification


def outdated_by(notification: Notification) -> str:
    """Return the sentence that the release has moved on since a notification was written; empty while it has not."""
    if not (event := moved_since(notification)):
        return ""
    known = notification_event(event)
    return _("This notification is out of date, because the release has changed since it was written: %(event)s.") % {
        "event": known.label if known is not None else _("The scope was reopened")
    }


def why_not(notification: Notification, account: Account) -> str:
    """Return why this person may not approve a notification; empty when they may."""
    persons = account.identities
    if notification.cause in persons:
        return _("You have caused this notification; another person must approve it for external recipients.")
    if notification.writer in persons:
        return _("You have written this text; another person must approve it for external recipients.")
    if notification.release is not None and account.is_among(notification.release.author.identities):
        return _("You have planned this release; another person must approve its announcement for external recipients.")
    return ""


def _heard(row: NotificationDelivery) -> Recipient:
    """Return the recipient of a delivery with the quiet hours of their group."""
    member, account = row.inbox_item.group_recipient, row.inbox_item.account
    quiet = []
    if member is not None:
        quiet = [(member.group.quiet_from, member.group.quiet_until, member.group.zone)]
        if account is not None and account.quiet_from is not None and account.quiet_until is not None:
            quiet = [(account.quiet_from, account.quiet_until, member.group.zone)]
    return Recipient(row.inbox_item.recipient, row.inbox_item.name, row.inbox_item.language, True, quiet=quiet)
