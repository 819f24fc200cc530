"""manage.py backup: database, keys and the ledger signer's memory as one encrypted file."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from releases.backup.contents import digest_of
from releases.backup.make import make


class Command(BaseCommand):
    """Runs as root, with DATABASE_URL of the owner; the processes may run."""

    help = "Write a backup of this installation, encrypted for an OpenPGP key, into a folder."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the folders and the key."""
        parser.add_argument("folder", type=Path, help="where the backup is written")
        parser.add_argument("--encrypt-to", type=Path, required=True, help="a file with the OpenPGP public key")
        parser.add_argument(
            "--state", type=Path, action="append", default=[], help="a state folder of a process; once for each"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Make it, and say what it holds."""
        made, manifest = make(options["folder"], states=options["state"], recipient=options["encrypt_to"])
        signer = "with" if manifest.signer else "WITHOUT"
        self.stdout.write(f"{made}\nSHA-256 {digest_of(made)}")
        self.stdout.write(
            f"{manifest.events} events, {manifest.checkpoint} of them signed, {len(manifest.files) - 1} private files,"
            f" {signer} the ledger signer's memory"
        )
