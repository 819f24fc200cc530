"""`manage.py ledger_signer`: signs a checkpoint within seconds of a change, until a signal ends it."""

import fcntl
import signal
import threading
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, close_old_connections, connection

from audit.ledger.checkpoint import LedgerSigner, SigningRefused
from audit.ledger.delivery import Carrier, Delivery, DeliveryThread
from audit.ledger.resumption import Offer, offered, resume, write_refusal
from audit.ledger.signing_key import TokenFault
from audit.ledger.stamping import Stamping
from audit.ledger.time_stamps import authority
from audit.offline.ringi_verify import Inconclusive
from audit.private_files import as_its_folder, make_folder
from audit.schema import require_own_schema
from audit.unit_output import say_in_log


class Command(BaseCommand):
    """Sign the ledger's growth; refuse, and end with 1, what contradicts the ledger signer's own memory."""

    help = "Sign a checkpoint of the ledger within seconds of each change, and carry it to the addresses."
    # Django's checks would load every page of the admin; `manage.py check` does them.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--once", action="store_true", help="sign what there is and end")
        parser.add_argument("--interval", type=float, default=1.0, help="seconds between two looks (1)")
        parser.add_argument("--renew-key", metavar="REASON", help="begin to sign with a new key, and end")
        parser.add_argument(
            "--resume", nargs="?", const="", metavar="CODE", help="after a restore: show what is lost, or accept it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Sign every few seconds; SIGTERM and SIGINT end the loop after the present round."""
        if not options["renew_key"] and options["resume"] is None:
            say_in_log(self)
        with suppress(OperationalError):  # it waits for a database that is down
            require_own_schema()
        ended = threading.Event()
        if not options["once"]:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: ended.set())
        try:
            with self._alone(0.0 if options["resume"] is None else 10.0):
                signer = LedgerSigner(Path(settings.STATE_DIR) / "ledger_signer")
                if options["renew_key"]:
                    self.stdout.write(str(signer.renew_key(connection, options["renew_key"])))
                    return
                if options["resume"] is not None:
                    self._resume(signer, options["resume"])
                    return
                if options["once"]:
                    self._once(signer)
                    return
                with ExitStack() as threads:
                    for carrier in self._carriers(signer):
                        threads.enter_context(DeliveryThread(carrier, options["interval"], self.stderr.write))
                    while not ended.is_set():
                        self._sign_batch(signer)
                        ended.wait(options["interval"])
        except SigningRefused as refusal:
            raise CommandError(f"the ledger signer refuses: {refusal}")
        except TokenFault as fault:
            raise CommandError(str(fault))

    @staticmethod
    @contextmanager
    def _alone(seconds: float) -> Iterator[None]:
        """Lock the folder, waiting for so long: two ledger signers with one memory could sign two statements about one
        size.
        """
        last = time.monotonic() + seconds
        folder = Path(settings.STATE_DIR) / "ledger_signer"
        make_folder(folder)
        with (folder / "lock").open("a") as held:
            as_its_folder(held.fileno(), folder)
            while True:
                try:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= last:
                        raise CommandError("another ledger signer holds this folder; end it first")
                    time.sleep(0.02)
            yield

    def _resume(self, signer: LedgerSigner, code: str) -> None:
        """Accept the offer that this code names; without a code, print the offer."""
        try:
            signer.sign(connection)
        except SigningRefused as refusal:
            write_refusal(signer, connection, str(refusal))
            if code:
                resume(signer, connection, code)
                self.stdout.write(f"The signer signs again, with the key {signer.public}")
                self.stdout.write("Give this key to all who verify, and put it into the file RINGI_LEDGER_PUBLIC_KEY.")
                return
            self.stdout.write(f"The signer refuses: {refusal}.")
            self._show(offered(signer, connection))
            return
        self.stdout.write("The signer refuses nothing.")

    def _show(self, offer: Offer) -> None:
        behind = f"Events from number {offer.agreed + 1} on are others than those that were signed, or are gone."
        self.stdout.write(f"It signed {offer.lost} events before. The ledger now has {offer.size}.")
        self.stdout.write(f"The first {offer.agreed} are those that its keys signed. {behind}")
        if offer.agreement is None:
            self.stdout.write(
                "Two persons have not agreed in Ringi to go on without them. Nothing can be accepted yet."
            )
            return
        _pk, reason, *agreed = offer.agreement
        self.stdout.write(f"Ringi says that {agreed[0]} ({agreed[1]}) and {agreed[2]} ({agreed[3]}) agreed: {reason}")
        self.stdout.write("Whoever owns the database can write that. Ask both persons yourself, not through Ringi.")
        self.stdout.write("Compare with what a witness or an auditor kept: manage.py audit_verify --checkpoints FILE")
        self.stdout.write(f"To accept exactly this: manage.py ledger_signer --resume {offer.code}")

    @staticmethod
    def _carriers(signer: LedgerSigner) -> list[Carrier]:
        """Return what brings checkpoints to witnesses and, where one is set, to the time-stamping authority."""
        try:
            known = authority()
        except (OSError, Inconclusive) as fault:
            raise CommandError(f"RINGI_TIME_STAMP_CA: {fault}")
        stamping = [Stamping(signer, settings.TIME_STAMP_URL, known)] if known is not None else []
        return [Delivery(signer), *stamping]

    def _once(self, signer: LedgerSigner) -> None:
        try:
            self._sign(signer)
            for carrier in self._carriers(signer):
                for fault in carrier.carrying(connection):
                    self.stderr.write(f"ledger_signer: a checkpoint was not taken by {fault}")
        except OperationalError as fault:
            raise CommandError(f"the database can't be reached: {fault}")

    def _sign_batch(self, signer: LedgerSigner) -> None:
        close_old_connections()
        try:
            self._sign(signer)
        except (OperationalError, TokenFault) as fault:
            # After a restart of the database the ledger signer needs no restart; the next round tries again.
            self.stderr.write(f"ledger_signer: {fault}")
            connection.close()

    def _sign(self, signer: LedgerSigner) -> None:
        try:
            checkpoint = signer.sign(connection)
        except SigningRefused as refusal:
            write_refusal(signer, connection, str(refusal))
            raise
        if checkpoint is not None:
            self.stdout.write(f"signed {checkpoint.size} events")
