"""manage.py definition plan | apply | export: applications, targets, processes and calendars as a folder of TOML."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from audit.actor import Actor, acting
from audit.refusals import OperationRefused
from environments.language import labelled
from releases.admin.components.change_history import operation_name
from releases.definition import system
from releases.definition.plan import plan
from releases.management.authors import add_authors, authors
from releases.management.terminal import TerminalCommand
from releases.models import Definition
from releases.operations.definition.load import load
from releases.procedures.document import ProcedureFaults
from releases.queries.definition_files import as_files, parse, texts


class Command(TerminalCommand):
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
            raise CommandError(_("%(verb)s needs a folder") % {"verb": verb})
        if verb == "export":
            self._export(folder)
            return
        newest = Definition.objects.first()
        if folder is None and newest is None:
            raise CommandError(_("no definition was applied yet; name a folder"))
        files = _texts(folder) if folder is not None else dict(newest.files) if newest is not None else {}
        if verb == "apply":
            why, writers = options["reason"] or f"manage.py definition apply {folder.name}", authors(options["author"])
            with acting(Actor(account_id=None, name="definition", kind="command", channel="command")):
                try:
                    made = load(files, reason=why, writers=writers)
                except OperationRefused as refused:
                    raise CommandError("\n".join(map(str, refused.reasons))) from None
            self.stdout.write(_("definition %(number)d is the newest") % {"number": made.number})
        differ = self._plan(files)
        if differ and options["exit_code"]:
            raise SystemExit(2)

    def _plan(self, files: dict[str, str]) -> int:
        try:
            wanted = parse(files)
        except ProcedureFaults as wrong:
            lines = [_("the definition has faults:"), *(f"  {fault}" for fault in wrong.faults)]
            raise CommandError("\n".join(lines)) from None
        acts = plan(wanted, system.read())
        for act in acts:
            self.stdout.write(labelled(operation_name(act.event), act.name))
            for place, before, after in act.differences:
                self.stdout.write("    " + labelled(place, f"{before} → {after}"))
            if act.awaits is not None:
                self.stdout.write("    " + _("waits for a person: %(what)s") % {"what": act.awaits})
            elif act.why:
                self.stdout.write("    " + _("not yet: %(why)s") % {"why": act.why})
        self.stdout.write(_("%(number)d changes") % {"number": len(acts)})
        return len(acts)

    def _export(self, folder: Path) -> None:
        if folder.exists():
            raise CommandError(_("%(path)s is there already; name a new folder") % {"path": folder})
        files = as_files(system.read().definition)
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        text = _("%(number)d files were written into %(folder)s")
        self.stdout.write(text % {"number": len(files), "folder": folder})


def _texts(folder: Path) -> dict[str, str]:
    try:
        return texts(folder)
    except ProcedureFaults as wrong:
        raise CommandError("\n".join(map(str, wrong.faults))) from None
