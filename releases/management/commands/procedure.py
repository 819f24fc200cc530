"""manage.py procedure load PATH [--put-into-effect]: load a written procedure; put the first one into effect."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.actor import Actor, acting
from audit.refusals import OperationRefused
from releases.models import Procedure
from releases.operations.procedure.put_into_effect import load, put_first_into_effect
from releases.procedures.document import ProcedureFaults
from releases.procedures.load import read
from releases.queries.procedure_types import procedure_types


class Command(BaseCommand):
    """Load a procedure."""

    help = "Reads a procedure from TOML; every fault is listed with its place, and then nothing is loaded."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the verb and the path."""
        parser.add_argument("verb", choices=["load"])
        parser.add_argument("path", type=Path, help="a TOML file, or a folder of TOML files that make up one procedure")
        parser.add_argument("--put-into-effect", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Load a procedure; --put-into-effect also puts it into effect, in an empty system only. With a procedure
        already in effect, nothing is loaded: the option starts a system, and its procedure may have changed since.
        """
        try:
            content = read(options["path"], **procedure_types())
        except ProcedureFaults as faults:
            raise CommandError("nothing was loaded:\n" + "\n".join(f"  {fault}" for fault in faults.faults)) from None
        in_force = Procedure.objects.filter(state="in_effect").first()
        if options["put_into_effect"] and in_force is not None:
            self.stdout.write(f"procedure {in_force.version} active")
            return
        with acting(Actor(account_id=None, name="procedure", kind="command", channel="command")):
            try:
                procedure = load(content, reason=f"manage.py procedure load {options['path'].name}")
                if (
                    options["put_into_effect"]
                    and not Procedure.objects.filter(state__in=["in_effect", "retired"]).exists()
                ):
                    put_first_into_effect(procedure.pk)
            except OperationRefused as refused:
                raise CommandError(str(refused)) from None
        self.stdout.write(f"procedure {procedure.version} {Procedure.objects.get(pk=procedure.pk).state}")
