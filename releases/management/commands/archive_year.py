"""manage.py archive_year: writes the archive of a closed year into a file, and its SHA-256 into the ledger."""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from audit.actor import Actor, acting
from audit.ledger.parts import Broken
from audit.models import ClosedYear
from audit.refusals import NotPossible
from releases.admin.components.change_history import operation_name
from releases.operations.year.close import record_archive
from releases.reporting.closed_year.archive import YearArchive


class Command(BaseCommand):
    """Runs with the variables and the account of the web process, whose keys it needs."""

    help = "Write the archive of a closed year into a file, which is verified without Ringi."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("year", type=int, help="the fiscal year, such as 2026")
        parser.add_argument("--to", type=Path, required=True, metavar="FILE", help="a file that does not exist yet")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the file, record its digest, and print it."""
        row = ClosedYear.objects.filter(year=options["year"]).exclude(confirmed_at=None).first()
        if row is None:
            raise CommandError(_("FY%(year)s is not closed.") % {"year": options["year"]})
        archive = YearArchive(row, operation_name)
        # Everything in it is for auditors.
        try:
            with open(os.open(options["to"], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                out.writelines(archive)
        except OSError as fault:
            raise CommandError(str(fault))
        except NotPossible as refused:
            options["to"].unlink()
            raise CommandError("; ".join(map(str, refused.reasons)))
        except Broken as broken:
            options["to"].unlink()
            text = _("BROKEN at number %(number)s: %(what)s") % vars(broken.finding)
            raise CommandError(text)
        digest, length = archive.made.digest.hexdigest(), archive.made.length
        with acting(Actor(account_id=None, name="archive_year", kind="command", channel="command")):
            record_archive(row.pk, digest=digest, length=length)
        self.stdout.write(f"{digest}  {options['to']} ({length} bytes)")
