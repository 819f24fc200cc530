"""inbox:mark_read, inbox:mark_all_read: what a person has read in the inbox."""

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import NotYou
from environments import access
from environments.models import Account
from releases.models import InboxItem


def read(message_id: int) -> InboxItem:
    """Mark one's own message as read. Raises NotYou."""
    with change("inbox:mark_read", (InboxItem, message_id)) as act:
        account, row = access.require_part(), act.get(InboxItem)
        if row.account_id is None or row.account_id != account.pk:
            raise NotYou(_("This notification is addressed to another person."))
        row.read_at = row.read_at or now()
    return row


def read_all() -> Account:
    """Mark all of one's own messages as read."""
    with change("inbox:mark_all_read") as act:
        account = access.require_part()
        act.about(account)
        unread = InboxItem.objects.select_for_update(no_key=True).filter(account=account, read_at=None)
        act.details["messages"] = len(unread)
        for row in unread:
            row.read_at = now()
            row.save()
    return account
