"""manage.py procedure check | diff | load | export: a written procedure as files."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from audit.actor import Actor, acting
from audit.refusals import OperationRefused
from environments.language import labelled
from releases.management.authors import add_authors, authors
from releases.management.terminal import TerminalCommand
from releases.models import Procedure
from releases.operations.procedure.put_into_effect import load, put_first_into_effect
from releases.procedures.compare import changed
from releases.procedures.document import Procedure as Content, ProcedureFaults
from releases.procedures.load import read
from releases.procedures.save import as_files
from releases.queries.procedure_types import procedure_types


class Command(TerminalCommand):
    """Check, compare, load or export a procedure."""

    help = (
        "check: list every fault of a file or a folder. diff: compare it with the procedure in effect. load: store it "
        "as a draft. export: write the procedure in effect into a new folder."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the verb and the path."""
        parser.add_argument("verb", choices=["check", "diff", "load", "export"])
        parser.add_argument("path", type=Path, help="a TOML file, or a folder of TOML files that make up one procedure")
        parser.add_argument(
            "--organisation", type=Path, help="check: of a further procedure, the files of the organisation's procedure"
        )
        parser.add_argument("--key", default="", help="export: of a further procedure (left out: the organisation's)")
        add_authors(parser)
        parser.add_argument(
            "--put-into-effect", action="store_true", help="load: in an empty system, put the procedure into effect"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it. `load --put-into-effect` starts a system: where a procedure is in effect, it loads nothing, for that
        procedure may have changed since.
        """
        path, beside = options["path"], options["organisation"]
        if options["verb"] == "check":
            organisation = _read(beside) if beside is not None else None
            said = {"version": _read(path, organisation).version}
            self.stdout.write(_("procedure %(version)s: no fault") % said)
            return  # without a database
        active = Procedure.objects.of(None)
        organisation = active.document if active is not None else None
        match options["verb"]:
            case "diff":
                content = _read(path, organisation)
                own = Procedure.objects.filter(state="in_effect", key=content.key).first()
                self._diff(content, own or active)
            case "load":
                content = _read(path, organisation)
                if options["put_into_effect"] and active is not None:
                    text = _("procedure %(version)s is in effect; %(path)s was not loaded")
                    self.stdout.write(text % {"version": active.version, "path": path.name})
                else:
                    self._load(content, path, authors(options["author"]), options["put_into_effect"])
            case _export:
                self._export(path, Procedure.objects.filter(state="in_effect", key=options["key"]).first())

    def _diff(self, content: Content, active: Procedure | None) -> None:
        if active is None:
            raise CommandError(_("no procedure is in effect"))
        found = changed(active.content, content.model_dump(mode="json"))
        for place, (left, right) in found.items():
            self.stdout.write(labelled(" › ".join(place), f"{left or '—'} → {right or '—'}"))
        text = _("%(number)d rows differ from procedure %(version)s")
        self.stdout.write(text % {"number": len(found), "version": active.version})

    def _load(self, content: Content, path: Path, writers: set[int], put_into_effect: bool) -> None:
        with acting(Actor(account_id=None, name="procedure", kind="command", channel="command")):
            try:
                procedure = load(content, reason=f"manage.py procedure load {path.name}", writers=writers)
                empty = not Procedure.objects.filter(state__in=["in_effect", "retired"]).exists()
                if put_into_effect and empty:
                    put_first_into_effect(procedure.pk)
            except OperationRefused as refused:
                raise CommandError(str(refused)) from None
        stored = Procedure.objects.get(pk=procedure.pk)
        text = _("procedure %(version)s: %(state)s")
        if stored.state == "draft" and not put_into_effect:
            text = _("procedure %(version)s draft; submit it for approval on its page")
        self.stdout.write(text % {"version": stored.version, "state": stored.get_state_display()})

    def _export(self, path: Path, active: Procedure | None) -> None:
        if active is None:
            raise CommandError(_("no procedure is in effect"))
        if path.exists():
            raise CommandError(_("%(path)s is there already; name a new folder") % {"path": path})
        path.mkdir()
        for name, text in as_files(active.document).items():
            (path / name).write_text(text, encoding="utf-8")
        text = _("procedure %(version)s was written into %(path)s")
        self.stdout.write(text % {"version": active.version, "path": path})


def _read(path: Path, organisation: Content | None = None) -> Content:
    try:
        return read(path, organisation, **procedure_types())
    except ProcedureFaults as faults:
        lines = [_("the procedure has faults:"), *(f"  {fault}" for fault in faults.faults)]
        raise CommandError("\n".join(lines)) from None
