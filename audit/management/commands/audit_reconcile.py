"""`manage.py audit_reconcile`: compares history and audited rows with the ledger; ends with 0 explained, 1 not."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from audit.actor import Actor, acting
from audit.reconciliation import nightly


class Command(BaseCommand):
    """Go on with the comparison that is under way, or begin one, to its end."""

    help = "Compare history rows and audited rows with the ledger: exit status 0 all are explained, 1 some are not."

    def handle(self, *args: Any, **options: Any) -> None:
        """Compare, print what was found, and end the process with the exit status."""
        with acting(Actor(account_id=None, name="audit_reconcile", kind="command", channel="command")):
            reconciliation = nightly.reconcile()
        if reconciliation is None:
            raise CommandError(_("Another process is running the ledger reconciliation now."))
        found = reconciliation.found
        self.stdout.write(
            _("%(rows)s history rows of %(objects)s objects compared with %(events)s events.") % found
            + " "
            + _("%(present)s audited rows compared with the contents computed from their events.") % found
            + " "
            + _("Recorded only by the database trigger: %(bulk)s. Not explained by any event: %(unexplained)s.") % found
        )
        for row in found["alarms"]:
            which = f", row {row['row']}" if row["row"] else ""
            self.stdout.write(f"{row['object']}{which}, {row['at']}: {nightly.reason_of(row)}")
        sys.exit(1 if found["unexplained"] else 0)
