"""feed:revoke: a calendar address is dead from now on."""

from __future__ import annotations

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import NotYou, WrongState
from environments import access
from environments.models import CalendarFeed


def revoke(feed_id: int, *, reason: str = "") -> CalendarFeed:
    """End an address: one's own, or anybody's by an account that administers accounts."""
    with change("feed:revoke", (CalendarFeed, feed_id), reason=reason) as act:
        account = access.current_account()
        feed = act.get(CalendarFeed)
        if feed.account_id != account.pk and not access.may(account, "account"):
            raise NotYou(_("This address is another's."))
        if feed.revoked_at is not None:
            raise WrongState(_("This address was revoked already."))
        feed.revoked_at = now()
    return feed
