"""calendar_feed:revoke: a calendar address stops answering."""

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.refusals import NotPermitted, NotPossible
from environments import access
from environments.models import Account, CalendarFeed


def revoke(feed_id: int, *, reason: str = "") -> CalendarFeed:
    """End an address: one's own, or anybody's by an account that administers accounts."""
    with operation("calendar_feed:revoke", (CalendarFeed, feed_id), reason=reason) as op:
        account = access.current_account()
        feed = op.get(CalendarFeed)
        if why := why_not_permitted(account, feed):
            raise NotPermitted(why)
        if feed.revoked_at is not None:
            raise NotPossible(_("This address was revoked already."))
        feed.revoked_at = now()
    return feed


def why_not_permitted(account: Account, feed: CalendarFeed) -> str:
    """Return why a person may not end an address; empty when they may. The owner may, whatever their roles are by
    now.
    """
    mine = feed.account_id == account.pk or access.may(account, "manage_accounts")
    return "" if mine else _("This address belongs to another person.")
