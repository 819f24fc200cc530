"""`manage.py audit_verify`: verifies the ledger and its triggers; ends with 0 holds, 1 broken, 2 can't tell."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from concurrent.futures import BrokenExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg
from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError, connection
from django.utils.translation import gettext as _

from audit import export, guards
from audit.apps import table_of
from audit.governed import GOVERNED
from audit.ledger.chain import BROKEN, UNKNOWN, Report, verify
from audit.ledger.note import BadNote, KeyRing, PublicKey, notes_of


class Command(BaseCommand):
    """Verify bytes, links, head and checkpoints; name the first bad number, and what no trigger watches."""

    help = "Verify the ledger: exit status 0 holds, 1 broken (first bad number, missing trigger), 2 can't tell."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        folder = Path(settings.STATE) / "sealer"
        parser.add_argument("--from", dest="first", type=int, default=1, metavar="N", help="first number (1)")
        parser.add_argument("--to", dest="last", type=int, metavar="M", help="last number (the end)")
        parser.add_argument("--json", action="store_true", help="print the report as JSON")
        parser.add_argument("--export", metavar="FILE", help="also write the whole ledger as JSON Lines")
        parser.add_argument(
            "--key", type=Path, default=folder / "key.pub", help="file of the sealer's public keys, one on each line"
        )
        parser.add_argument(
            "--checkpoints",
            type=Path,
            default=folder / "checkpoints.txt",
            help="checkpoints kept outside the database",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Verify, export, print, and end the process with the exit status."""
        try:
            written = options["key"].read_text(encoding="utf-8") if options["key"].exists() else ""
            keys = KeyRing(PublicKey.all_of(written))
            connection.ensure_connection()
            report = verify(
                connection.connection,
                first=max(options["first"], 1),
                last=options["last"],
                notes=[*notes_of(options["checkpoints"]), *self._remembered(options["checkpoints"].parent)],
                key=keys,
                progress=self._progress if sys.stderr.isatty() else None,
            )
            # Apps that are not installed here have no tables to ask about.
            governed = [one for one in GOVERNED if one.model.partition(".")[0] in apps.app_configs]
            untold = guards.faults(connection.connection, governed, table_of)
            strangers = guards.strangers(connection.connection, governed, table_of)
            if options["export"]:
                with open(options["export"], "w", encoding="utf-8") as out:
                    out.writelines(export.lines(connection.connection, keys))
        except (BadNote, OSError, ValueError, KeyError, psycopg.Error, DatabaseError, BrokenExecutor) as fault:
            if options["json"]:
                self.stdout.write(json.dumps({"status": UNKNOWN, "unknown": str(fault)}))
            else:
                self.stderr.write(_("Can't tell: %(fault)s") % {"fault": str(fault).strip()})
            sys.exit(UNKNOWN)
        status = BROKEN if untold else report.exit_status
        if options["json"]:
            told = {"status": status, **asdict(report), "not_captured": untold, "unknown_tables": strangers}
            self.stdout.write(json.dumps(told, ensure_ascii=False))
        else:
            for what in untold:
                self.stdout.write(_("NOT CAPTURED: %(what)s") % {"what": what})
            if strangers:
                self.stdout.write(_("Neither governed nor known: %(tables)s") % {"tables": ", ".join(strangers)})
            self._print(report)
        sys.exit(status)

    @staticmethod
    def _remembered(folder: Path) -> list[str]:
        """Return the note in the sealer's own memory, which outlives a file of checkpoints that was cut."""
        state = folder / "state.json"
        return [json.loads(state.read_text(encoding="utf-8"))["note"]] if state.exists() else []

    def _progress(self, number: int) -> None:
        self.stderr.write(f"\r{number}", ending="")

    def _print(self, report: Report) -> None:
        if report.finding is not None:
            self.stdout.write(
                _("BROKEN at number %(number)s: %(what)s")
                % {"number": report.finding.number, "what": report.finding.what}
            )
        elif report.unknown:
            self.stdout.write(_("Can't tell: %(fault)s") % {"fault": report.unknown})
        else:
            self.stdout.write(
                _("Holds: events %(first)s to %(last)s, %(checkpoints)s checkpoints compared.")
                % {"first": report.first, "last": report.last, "checkpoints": report.checkpoints}
                + (
                    " " + _("Signed up to %(signed)s of %(last)s.") % {"signed": report.signed, "last": report.last}
                    if report.signed < report.last
                    else ""
                )
            )
