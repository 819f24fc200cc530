"""`manage.py ledger_stream`: sends the events of the ledger to RINGI_STREAM_URL, until a signal ends it."""

import signal
import threading
from argparse import ArgumentParser
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, close_old_connections, connection

from audit.ledger.stream import AnotherLedger, Stream, destination_of, follow
from audit.schema import require_own_schema
from audit.unit_output import say_in_log


class Command(BaseCommand):
    """Reads with the auditor's role, and writes nothing but its own position."""

    help = "Send the events of the ledger to a SIEM, in their order."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--behind", type=int, metavar="NUMBER", help="go on behind this event, and end")

    def handle(self, *args: Any, **options: Any) -> None:
        """Send what there is and what comes; SIGTERM and SIGINT end it after the present batch."""
        if options["behind"] is None:
            say_in_log(self)
        if not settings.STREAM_URL:
            raise CommandError("RINGI_STREAM_URL names no destination")
        try:
            stream = Stream(
                Path(settings.STATE_DIR) / "stream", destination_of(settings.STREAM_URL, settings.STREAM_TOKEN)
            )
        except (ValueError, OSError) as fault:
            raise CommandError(f"RINGI_STREAM_URL: {fault}") from fault
        with suppress(OperationalError):  # it waits for a database that is down
            require_own_schema()
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        try:
            if options["behind"] is not None:
                stream.begin_behind(options["behind"], connection)
                return
            while not ended.is_set():
                self._follow(stream, ended)
        except AnotherLedger as refusal:
            raise CommandError(str(refusal)) from refusal
        finally:
            stream.destination.close()

    def _follow(self, stream: Stream, ended: threading.Event) -> None:
        try:
            follow(stream, connection, ended=ended.wait, say=lambda text: self.stderr.write(f"ledger_stream: {text}"))
        except OperationalError as fault:
            self.stderr.write(f"ledger_stream: {fault}")
            close_old_connections()
            connection.close()
            ended.wait(1.0)
