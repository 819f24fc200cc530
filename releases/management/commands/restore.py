"""manage.py restore: a backup of `manage.py backup` into an empty database and empty state folders."""

from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from releases.backup.restore import restore

NEXT = """Next:
1. manage.py doctor, with the variables of each process
2. start the ledger signer and the web process, and activate the emergency stop
3. compare the deployments since {made_at} with reality; cancel scheduled ones that ran
4. start the scheduler and the workers; Measure now on each deployment target
5. request the lift of the emergency stop"""


class Command(BaseCommand):
    """Runs as root, with DATABASE_URL of the owner and a private key in GnuPG, while no process runs."""

    help = "Restore a backup after a total loss."
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the file and the folders."""
        parser.add_argument("backup", type=Path, help="the file that manage.py backup wrote")
        parser.add_argument("--state-root", type=Path, default=Path("/var/lib"), help="where the state folders lie")
        parser.add_argument("--work", type=Path, help="a folder with space for the decrypted contents")

    def handle(self, *args: Any, **options: Any) -> None:
        """Restore it, verify the ledger with the checkpoints from outside of the database, and say what is next."""
        manifest = restore(options["backup"], root=options["state_root"], work_in=options["work"])
        self.stdout.write(f"restored: {manifest.events} events, {len(manifest.files) - 1} private files")
        notes = sorted(options["state_root"].glob("*/ledger_signer/checkpoints.txt"))
        status: object = 0
        try:
            call_command("audit_verify", *(["--checkpoints", str(notes[0])] if notes else []), stdout=self.stdout)
        except SystemExit as ended:
            status = ended.code
        self.stdout.write(NEXT.format(made_at=manifest.made_at))
        if status:
            raise CommandError("the ledger did not verify, as said above: find out why before anything starts")
