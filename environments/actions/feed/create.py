"""calendar_feed:create: a secret address under which a calendar program reads an application's windows."""

from django.utils.translation import gettext as _

from audit.change import change
from audit.refusals import NotYou
from environments import access
from environments.models import Application, CalendarFeed

# Whoever takes part in releases; an auditor reads everything here and leaves nothing behind.
RIGHTS = ("plan", "change", "evidence", "checklist", "approve", "account")


def create(application_id: int) -> tuple[CalendarFeed, str]:
    """Make an address for the one who asks; returns it with its secret, which is shown this once and never kept."""
    with change("calendar_feed:create", (Application, application_id)) as act:
        account = access.require("look")
        if not any(access.may(account, right) for right in RIGHTS):
            raise NotYou(_("Only people who take part in releases can create a calendar address."))
        secret, digest = CalendarFeed.fresh()
        made = CalendarFeed.objects.create(application=act.get(Application), account=account, digest=digest)
        act.about(made, application=made.application.slug)
    return made, secret
