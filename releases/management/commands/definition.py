"""manage.py definition plan | apply | export: applications, targets, processes and calendars as a folder of TOML."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.actor import Actor, acting
from audit.refusals import OperationRefused
from releases.admin.components.change_history import operation_name
from releases.definition import system
from releases.definition.plan import plan
from releases.management.authors import add_authors, authors
from releases.models import Definition
from releases.operations.definition.load import load
from releases.procedures.document import ProcedureFaults
from releases.queries.definition_files import as_files, parse, texts


class Command(BaseCommand):
    """Compare, load or export a definition."""

    help = (
        "plan: show what a folder would change. apply: store it as the newest definition; people then make its changes "
        "on the page “Definition”, with the approvals that each needs. export: write the system into a new folder."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the verb and the folder."""
        parser.add_argument("verb", choices=["plan", "apply", "export"])
        parser.add_argument("folder", type=Path, nargs="?", help="plan: left out, the newest definition is compared")
        parser.add_argument("--reason", default="", help="apply: why, such as the commit of the folder")
        add_authors(parser)
        parser.add_argument("--exit-code", action="store_true", help="plan: exit status 2 where anything differs")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it."""
        folder, verb = options["folder"], options["verb"]
        if folder is None and verb != "plan":
            raise CommandError(f"{verb} needs a folder")
        if verb == "export":
            self._export(folder)
            return
        newest = Definition.objects.first()
        if folder is None and newest is None:
            raise CommandError("no definition was applied yet; name a folder")
        files = _texts(folder) if folder is not None else dict(newest.files) if newest is not None else {}
        if verb == "apply":
            why, writers = options["reason"] or f"manage.py definition apply {folder.name}", authors(options["author"])
            with acting(Actor(account_id=None, name="definition", kind="command", channel="command")):
                try:
                    made = load(files, reason=why, writers=writers)
                except OperationRefused as refused:
                    raise CommandError("\n".join(map(str, refused.reasons))) from None
            self.stdout.write(f"definition {made.number} is the newest")
        differ = self._plan(files)
        if differ and options["exit_code"]:
            raise SystemExit(2)

    def _plan(self, files: dict[str, str]) -> int:
        try:
            wanted = parse(files)
        except ProcedureFaults as wrong:
            raise CommandError("\n".join(["the definition has faults:", *(f"  {f}" for f in wrong.faults)])) from None
        acts = plan(wanted, system.read())
        for act in acts:
            self.stdout.write(f"{operation_name(act.event)}: {act.name}")
            for place, before, after in act.differences:
                self.stdout.write(f"    {place}: {before} → {after}")
            if act.awaits is not None:
                self.stdout.write(f"    waits for a person: {act.awaits}")
            elif act.why:
                self.stdout.write(f"    not yet: {act.why}")
        self.stdout.write(f"{len(acts)} changes")
        return len(acts)

    def _export(self, folder: Path) -> None:
        if folder.exists():
            raise CommandError(f"{folder} is there already; name a new folder")
        files = as_files(system.read().definition)
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        self.stdout.write(f"{len(files)} files were written into {folder}")


def _texts(folder: Path) -> dict[str, str]:
    try:
        return texts(folder)
    except ProcedureFaults as wrong:
        raise CommandError("\n".join(map(str, wrong.faults))) from None
