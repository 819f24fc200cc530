"""inbox:mark_read, inbox:mark_all_read: inbox items that a person has read."""

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.refusals import NotPermitted
from environments import access
from environments.models import Account
from releases.models import InboxItem


def read(message_id: int) -> InboxItem:
    """Mark one's own inbox item as read. Raises NotPermitted."""
    with operation("inbox:mark_read", (InboxItem, message_id)) as op:
        account, row = access.require_part(), op.get(InboxItem)
        if row.account_id is None or row.account_id != account.pk:
            raise NotPermitted(_("This notification is addressed to another person."))
        row.read_at = row.read_at or now()
    return row


def read_all() -> Account:
    """Mark all of one's own inbox items as read."""
    with operation("inbox:mark_all_read") as op:
        account = access.require_part()
        op.about(account)
        unread = InboxItem.objects.select_for_update(no_key=True).filter(account=account, read_at=None)
        op.details["notifications"] = len(unread)
        for row in unread:
            row.read_at = now()
            row.save()
    return account
