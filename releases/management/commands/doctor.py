"""manage.py doctor: what an installation needs, looked at, with what to do; it ends with 1 where something must be
mended.
"""

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from audit.unit_output import say_in_log
from environments.language import labelled, listed
from releases.doctor.examination import BEFORE_START, examine
from releases.doctor.finding import Result
from releases.management.terminal import TerminalCommand

MARKS = {Result.OK: _("ok"), Result.WARNING: _("warning"), Result.FAILED: _("FAILED"), Result.UNKNOWN: _("UNKNOWN")}


class Command(TerminalCommand):
    """Runs with the variables and the account of the process that it is asked about."""

    help = "Look at variables, database, machine and services of an installation, and say what to mend."
    requires_system_checks: list[str] = []  # noqa: RUF012  # a broken installation is what it is for
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the choice of checks and of the form."""
        parser.add_argument(
            "--before-start", action="store_true", help="only what keeps a process from working; for its unit"
        )
        parser.add_argument("--json", action="store_true", help="write the findings as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the findings; exit status 1 where one has failed or could not be looked at."""
        if options["before_start"]:
            say_in_log(self)
        # Programs read the JSON.
        with translation.override("en" if options["json"] else translation.get_language()):
            seen = examine(BEFORE_START if options["before_start"] else None)
        if options["json"]:
            rows = [asdict(one) for one in seen.findings]
            self.stdout.write(json.dumps({"result": seen.result, "findings": rows}, ensure_ascii=False, indent=2))
        else:
            for one in seen.findings:
                self.stdout.write(f"{MARKS[one.result]!s:7}  {labelled(one.name, one.words)}")
                if one.advice:
                    self.stdout.write(f"         → {one.advice}")
            counts = {result: sum(1 for one in seen.findings if one.result == result) for result in Result}
            self.stdout.write(listed(labelled(MARKS[result], count) for result, count in counts.items() if count))
        # A process that starts while PostgreSQL is down waits for it.
        stays_down = any(one.result == Result.FAILED for one in seen.findings)
        if stays_down if options["before_start"] else seen.result == Result.FAILED:
            raise SystemExit(1)
