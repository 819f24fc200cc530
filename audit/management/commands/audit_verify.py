"""`manage.py audit_verify`: verifies the ledger and its triggers; ends with 0 holds, 1 broken, 2 inconclusive."""

import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any, NoReturn

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection, transaction
from django.utils.translation import gettext as _

from audit import export, export_part, standing, verification
from audit.actor import Actor, acting
from audit.ledger.chain import BROKEN, HOLDS, UNKNOWN, Report
from audit.ledger.checkpoint import Memory
from audit.ledger.note import BadNote, KeyRing, notes_of
from audit.ledger.parts import Broken
from audit.ledger.time_stamps import last_stamp


class Command(BaseCommand):
    """Verify bytes, links, head and checkpoints; name the first bad number, and tables without a trigger."""

    help = "Verify the ledger: exit status 0 holds, 1 broken (first bad number, missing trigger), 2 can't tell."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        folder = Path(settings.STATE_DIR) / "ledger_signer"
        parser.add_argument("--from", dest="first", type=int, default=1, metavar="N", help="first number (1)")
        parser.add_argument("--to", dest="last", type=int, metavar="M", help="last number (the end)")
        parser.add_argument("--scheduled", action="store_true", help="what is new, or all when due; keep the result")
        parser.add_argument("--json", action="store_true", help="print the report as JSON")
        parser.add_argument("--export", metavar="FILE", help="also write the ledger, or the part, as JSON Lines")
        parser.add_argument(
            "--key", type=Path, help="file of the signer's public keys, one on each line (RINGI_LEDGER_PUBLIC_KEY)"
        )
        parser.add_argument(
            "--checkpoints", type=Path, default=folder / "checkpoints.txt", help="checkpoints kept outside the database"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Verify, export, print, and end the process with the exit status."""
        if options["scheduled"]:
            self._scheduled()
        try:
            keys = verification.public_keys(options["key"])
            connection.ensure_connection()
            result = verification.verified(
                connection.connection,
                first=max(options["first"], 1),
                last=options["last"],
                notes=[*notes_of(options["checkpoints"]), *self._remembered(options["checkpoints"].parent)],
                keys=keys,
                progress=self._progress if sys.stderr.isatty() else None,
            )
            if options["export"]:
                with open(options["export"], "w", encoding="utf-8") as out:
                    out.writelines(self._lines(keys, max(options["first"], 1), options["last"]))
        except Broken as broken:  # the report names it too, unless it came up in between
            self.stderr.write(_("BROKEN at number %(number)s: %(what)s") % vars(broken.finding))
            sys.exit(BROKEN)
        except (BadNote, OSError, ValueError, KeyError, psycopg.Error, DatabaseError, BrokenExecutor) as fault:
            if options["json"]:
                self.stdout.write(json.dumps({"status": UNKNOWN, "unknown": str(fault)}))
            else:
                self.stderr.write(_("Inconclusive: %(fault)s") % {"fault": str(fault).strip()})
            sys.exit(UNKNOWN)
        if options["json"]:
            self.stdout.write(json.dumps(result.as_json(), ensure_ascii=False))
        else:
            for what in result.not_captured:
                self.stdout.write(_("NOT CAPTURED: %(what)s") % {"what": what})
            if result.unknown_tables:
                tables = ", ".join(result.unknown_tables)
                self.stdout.write(_("Tables neither audited nor exempt: %(tables)s") % {"tables": tables})
            self._print(result.report)
            if not settings.TIME_STAMP_CA and last_stamp(connection).at is not None:
                self.stdout.write(_("Time stamps were not verified: RINGI_TIME_STAMP_CA is not set."))
        sys.exit(result.status)

    @staticmethod
    def _lines(keys: KeyRing, first: int, last: int | None) -> Iterator[str]:
        if first == 1 and last is None:
            yield from export.lines(connection.connection, keys)
            return
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            cursor.execute("SELECT number FROM audit_ledgerhead WHERE id = 1")
            last = min(last or sys.maxsize, cursor.fetchone()[0])
            if last < first:
                raise ValueError(_("The ledger has %(number)s events.") % {"number": last})
            yield from export_part.lines(connection.connection, first, last, key=keys)

    def _scheduled(self) -> NoReturn:
        """Verify as the scheduler has it done, behind everything else that this machine does."""
        os.nice(10)
        with acting(Actor(account_id=None, name="verification", kind="worker", channel="scheduler")):
            row = standing.run()
        if row is None:
            raise CommandError(_("Another process is verifying the ledger now."))
        self.stdout.write(f"{row.first}–{row.last}: {row.result} {row.finding} {row.altered or ''}".rstrip())
        sys.exit({"passed": HOLDS, "failed": BROKEN}.get(row.result, UNKNOWN))

    @staticmethod
    def _remembered(folder: Path) -> list[str]:
        """Return the note in the ledger signer's own memory, which outlives a file of checkpoints that was cut."""
        state = folder / "state.json"
        return [Memory.read(state).note] if state.exists() else []

    def _progress(self, number: int) -> None:
        self.stderr.write(f"\r{number}", ending="")

    def _print(self, report: Report) -> None:
        if report.finding is not None:
            text = _("BROKEN at number %(number)s: %(what)s")
            self.stdout.write(text % {"number": report.finding.number, "what": report.finding.what})
        elif report.unknown:
            self.stdout.write(_("Inconclusive: %(fault)s") % {"fault": report.unknown})
        else:
            self.stdout.write(
                _("Intact: events %(first)s to %(last)s, %(checkpoints)s checkpoints compared.")
                % {"first": report.first, "last": report.last, "checkpoints": report.checkpoints}
                + (
                    " " + _("Signed up to %(signed)s of %(last)s.") % {"signed": report.signed, "last": report.last}
                    if report.signed < report.last
                    else ""
                )
                + (" " + _("%(pending)s more are pending.") % {"pending": report.pending} if report.pending else "")
            )
