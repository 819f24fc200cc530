"""`manage.py sealer`: signs a checkpoint within seconds of a change, until it is told to stop."""

from __future__ import annotations

import fcntl
import signal
import threading
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, close_old_connections, connection

from audit.ledger.checkpoint import Sealer, Unsealable
from audit.ledger.delivery import Delivery, Rounds
from audit.ledger.going_on import go_on, record_refusal


class Command(BaseCommand):
    """Seal the ledger's growth; refuse, and end with 1, what contradicts the sealer's own memory."""

    help = "Sign a checkpoint of the ledger within seconds of each change, and carry it to the addresses."
    # They would load every page of the admin; `manage.py check` is for them.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--once", action="store_true", help="seal what there is and end")
        parser.add_argument("--every", type=float, default=2.0, help="seconds between two looks (2)")
        parser.add_argument("--renew-key", metavar="REASON", help="begin to sign with a new key, and end")

    def handle(self, *args: Any, **options: Any) -> None:
        """Look every few seconds; SIGTERM and SIGINT end the loop after the present round."""
        ended = threading.Event()
        if not options["once"]:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: ended.set())
        try:
            with self._alone():
                sealer = Sealer(Path(settings.STATE) / "sealer")
                if options["renew_key"]:
                    self.stdout.write(str(sealer.renew_key(connection, options["renew_key"])))
                    return
                if options["once"]:
                    self._once(sealer)
                    return
                with Rounds(Delivery(sealer), options["every"], self.stderr.write):
                    while not ended.is_set():
                        self._round(sealer)
                        ended.wait(options["every"])
        except Unsealable as refusal:
            raise CommandError(f"the sealer refuses: {refusal}")

    @staticmethod
    @contextmanager
    def _alone() -> Iterator[None]:
        """Hold the folder: two sealers with one memory could sign two statements about one size."""
        folder = Path(settings.STATE) / "sealer"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (folder / "lock").open("a") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CommandError("another sealer holds this folder; end it first")
            yield

    def _once(self, sealer: Sealer) -> None:
        try:
            self._seal(sealer)
            for fault in Delivery(sealer).carry(connection):
                self.stderr.write(f"sealer: a checkpoint was not taken by {fault}")
        except OperationalError as fault:
            raise CommandError(f"the database can't be reached: {fault}")

    def _round(self, sealer: Sealer) -> None:
        close_old_connections()
        try:
            self._seal(sealer)
        except OperationalError as fault:
            # Whoever restarts the database needs no second hand for the sealer; the next round tries again.
            self.stderr.write(f"sealer: {fault}")
            connection.close()

    def _seal(self, sealer: Sealer) -> None:
        try:
            checkpoint = sealer.seal(connection)
        except Unsealable as refusal:
            record_refusal(sealer, connection, str(refusal))
            if not go_on(sealer, connection):
                raise
            self.stdout.write(f"went on after a restore, as two persons decided, with the key {sealer.public}")
            return
        if checkpoint is not None:
            self.stdout.write(f"sealed {checkpoint.size} events")
