"""calendar_feed:create: a secret address under which a calendar program reads an application's windows."""

from django.utils.translation import gettext as _

from audit.operation import operation
from audit.refusals import NotPermitted
from environments import access
from environments.models import Application, CalendarFeed

# The roles that take part in releases; an auditor reads everything here and leaves nothing behind.
RIGHTS = ("plan", "edit_changes", "upload_evidence", "sign_checklist", "approve", "manage_accounts")


def create(application_id: int) -> tuple[CalendarFeed, str]:
    """Make an address for the actor; return it with its secret, which is shown this once and never kept."""
    with operation("calendar_feed:create", (Application, application_id)) as op:
        account = access.require("read")
        if not any(access.may(account, right) for right in RIGHTS):
            raise NotPermitted(_("Only people who take part in releases can create a calendar address."))
        secret, digest = CalendarFeed.fresh()
        made = CalendarFeed.objects.create(application=op.get(Application), account=account, digest=digest)
        op.about(made, application=made.application.slug)
    return made, secret
