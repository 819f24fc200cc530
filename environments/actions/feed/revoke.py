"""calendar_feed:revoke: a calendar address is dead from now on."""

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import NotYou, WrongState
from environments import access
from environments.models import Account, CalendarFeed


def revoke(feed_id: int, *, reason: str = "") -> CalendarFeed:
    """End an address: one's own, or anybody's by an account that administers accounts."""
    with change("calendar_feed:revoke", (CalendarFeed, feed_id), reason=reason) as act:
        account = access.current_account()
        feed = act.get(CalendarFeed)
        if why := not_yours(account, feed):
            raise NotYou(why)
        if feed.revoked_at is not None:
            raise WrongState(_("This address was revoked already."))
        feed.revoked_at = now()
    return feed


def not_yours(account: Account, feed: CalendarFeed) -> str:
    """Return why a person may not end an address; empty when he may: the owner may whatever his roles are by now."""
    mine = feed.account_id == account.pk or access.may(account, "account")
    return "" if mine else _("This address belongs to another person.")
