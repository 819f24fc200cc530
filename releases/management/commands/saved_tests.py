"""manage.py saved_tests: runs the saved audit tests over the last month that is over; --keep keeps the results, also
those of earlier months that were not kept.
"""

from hashlib import sha256
from typing import Any

import rfc8785
from django.core.management.base import CommandParser
from django.db import connection
from django.utils import translation
from django.utils.translation import gettext as _

from audit.actor import Actor, acting
from audit.clock import now
from audit.ledger.link import link_pending
from audit.operation import record_event
from releases.management.terminal import TerminalCommand
from releases.queries.saved_test_runs import OUTCOME, missing, month_before
from releases.reporting.audit_tests import TESTS
from releases.reporting.audit_tests.base import SavedTest, Scope

# Rows of one test that a kept result holds; its digest is over all of them.
KEPT = 50


class Command(TerminalCommand):
    """Prints one line for each test."""

    help = "Run the saved audit tests over the last month that is over."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the option."""
        parser.add_argument("--keep", action="store_true", help="keep the results in the ledger, once for each month")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run all tests and print what they found. Results are kept in English, times in ISO form, UTC."""
        actor = Actor(account_id=None, name="saved_tests", kind="command", channel="command")
        moment = now()
        with acting(actor), translation.override("en"):
            link_pending(connection)
            months = missing(moment) if options["keep"] else []
            for since, until in months or [month_before(moment)]:
                results = [_result(test, Scope(since, until)) for test in TESTS]
                if options["keep"] and (since, until) in missing(moment):
                    record_event(OUTCOME, since=since.isoformat(), until=until.isoformat(), results=results)
        for one in results:
            listing = _("%(test)s: %(examined)d examined, %(rows)d rows")
            exceptions = _("%(test)s: %(examined)d examined, %(rows)d exceptions")
            self.stdout.write((listing if one["listing"] else exceptions) % one)


def _result(test: SavedTest, scope: Scope) -> dict[str, Any]:
    outcome = test.run(scope)
    rows = [[str(cell) for cell in row.cells] for row in outcome.rows]
    return {
        "test": test.key,
        "listing": test.listing,
        "examined": outcome.examined,
        "rows": len(rows),
        "digest": sha256(rfc8785.dumps(rows)).hexdigest(),
        "first": rows[:KEPT],
    }
