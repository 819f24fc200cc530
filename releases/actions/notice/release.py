"""notification:approve_external and notification:cancel: what goes to people outside, by another person than who caused it."""

import hashlib

import rfc8785
from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import Invalid, NotYou, WrongState
from environments import access
from environments.models import Account
from releases import channels
from releases.actions.notice.overtaken import end_waiting, moved_since
from releases.actions.notice.recipients import Recipient, not_before
from releases.letters.events import told
from releases.models import Notification, NotificationDelivery


def digest_of(notice: Notification) -> str:
    """Return the SHA-256 over what is released: the texts in both languages and who gets them."""
    to = sorted(notice.inbox_items.filter(external=True).values_list("recipient", flat=True))
    return hashlib.sha256(rfc8785.dumps({"texts": notice.texts, "to": to})).hexdigest()


def release(notice_id: int, *, digest: str, reason: str = "") -> Notification:
    """Let a notice go outside, as a second person who was shown exactly this. Raises NotYou, WrongState, Invalid."""
    with change("notification:approve_external", (Notification, notice_id), reason=reason, sign=True) as act:
        account = access.require("release_message")
        notice = act.get(Notification)
        if not notice.waits:
            raise WrongState(_("This notification is not awaiting approval for external recipients."))
        if why := why_not(notice, account):
            raise NotYou(why)
        if outdated := outdated_by(notice):
            raise WrongState(outdated)
        if digest != digest_of(notice):
            raise Invalid(_("The text or the recipients shown to you differ from the current ones. Read them again."))
        moment = now()
        notice.external_approved_at, notice.external_approved_by = moment, account
        waiting = NotificationDelivery.objects.select_for_update(of=("self",), no_key=True).filter(
            inbox_item__notification=notice, outcome=NotificationDelivery.Outcome.PENDING, next_at=None
        )
        for row in waiting.select_related(
            "inbox_item__group_recipient__group", "inbox_item__account", "channel"
        ).order_by("pk"):
            if channels.kind(row.channel.channel_type).within:
                row.outcome, row.ended_at = NotificationDelivery.Outcome.SENT, moment
            else:
                row.due_at = row.next_at = not_before(_heard(row), moment, notice.urgent)
            row.save()
        act.signature("release_message", digest)
        act.details["messages"] = notice.inbox_items.filter(external=True).count()
    return notice


def withdraw(notice_id: int, *, reason: str) -> Notification:
    """Withdraw what waits: nobody outside is told. What was sent inside stays sent. Raises WrongState, Invalid."""
    with change("notification:cancel", (Notification, notice_id), reason=reason, sign=True) as act:
        access.require("release_message")
        notice = act.get(Notification)
        if not notice.waits:
            raise WrongState(_("This notification is not awaiting approval for external recipients."))
        act.require_reason()
        notice.cancelled_at, notice.cancelled_because = now(), reason.strip()[:300]
        end_waiting(notice, NotificationDelivery.Outcome.CANCELLED)
        act.signature("withdraw")
    return notice


def outdated_by(notice: Notification) -> str:
    """Return the sentence that the release has moved on since a notice was written; empty while it has not."""
    if not (event := moved_since(notice)):
        return ""
    known = told(event)
    return _("This notification is out of date, because the release has changed since it was written: %(event)s.") % {
        "event": known.label if known is not None else _("The scope was reopened")
    }


def why_not(notice: Notification, account: Account) -> str:
    """Return why this person can't release a notice; empty when they can."""
    if notice.cause in account.identities:
        return _("You have caused this notification; another person must approve it for external recipients.")
    if notice.writer in account.identities:
        return _("You have written this text; another person must approve it for external recipients.")
    if notice.release is not None and account.is_among(notice.release.author.identities):
        return _("You have planned this release; another person must approve its announcement for external recipients.")
    return ""


def _heard(row: NotificationDelivery) -> Recipient:
    """Return the recipient of a delivery with the quiet hours of his group."""
    member, account = row.inbox_item.group_recipient, row.inbox_item.account
    quiet = []
    if member is not None:
        quiet = [(member.group.quiet_from, member.group.quiet_until, member.group.zone)]
        if account is not None and account.quiet_from is not None and account.quiet_until is not None:
            quiet = [(account.quiet_from, account.quiet_until, member.group.zone)]
    return Recipient(row.inbox_item.recipient, row.inbox_item.name, row.inbox_item.language, True, quiet=quiet)
