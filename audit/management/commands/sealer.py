"""`manage.py sealer`: signs a checkpoint within seconds of a change, until it is told to stop."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, close_old_connections, connection

from audit.ledger.checkpoint import Sealer, Unsealable


class Command(BaseCommand):
    """Seal the ledger's growth; refuse, and end with 1, what contradicts the sealer's own memory."""

    help = "Sign a checkpoint of the ledger within seconds of each change."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--once", action="store_true", help="seal what there is and end")
        parser.add_argument("--every", type=float, default=2.0, help="seconds between two looks (2)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Look every few seconds; SIGTERM and SIGINT end the loop after the present round."""
        ended = threading.Event()
        if not options["once"]:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: ended.set())
        try:
            sealer = Sealer(Path(settings.STATE) / "sealer")
            while not ended.is_set():
                self._round(sealer, options["once"])
                if options["once"]:
                    return
                ended.wait(options["every"])
        except Unsealable as refusal:
            raise CommandError(f"the sealer refuses: {refusal}")

    def _round(self, sealer: Sealer, once: bool) -> None:
        close_old_connections()
        try:
            checkpoint = sealer.seal(connection)
        except OperationalError as fault:
            if once:
                raise CommandError(f"the database can't be reached: {fault}")
            # Whoever restarts the database needs no second hand for the sealer; the next round tries again.
            self.stderr.write(f"sealer: {fault}")
            connection.close()
            return
        if checkpoint is not None:
            self.stdout.write(f"sealed {checkpoint.size} events")
