"""manage.py import_past_releases APPLICATION --as USERNAME [--pattern PATTERN …]: past releases from a repository's tags."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.actor import Actor, acting
from audit.refusals import OperationRefused
from environments.access import roles_of
from environments.models import Account, Application
from releases.operations.release.import_tags import import_tags


class Command(BaseCommand):
    """Import tags."""

    help = "Records the version tags of an application's repository as past releases; running it again adds new ones."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the application, who answers for it, and the patterns."""
        parser.add_argument("application", help="the application's key")
        parser.add_argument("--as", dest="account", required=True, help="sign-in name of whoever answers for it")
        parser.add_argument(
            "--pattern", action="append", default=[], help="such as v{version} or ckan-{version}; may be repeated"
        )
        parser.add_argument("--reason", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        """Import, and list what was skipped with the reason."""
        application = Application.objects.filter(slug=options["application"]).first()
        if application is None:
            raise CommandError(f"there is no application “{options['application']}”")
        account = Account.objects.filter(username=options["account"], is_active=True).first()
        if account is None:
            raise CommandError(f"there is no account “{options['account']}”")
        actor = Actor(
            account_id=account.pk,
            name=str(account),
            kind="command",
            channel="command",
            roles=tuple(sorted(roles_of(account))),
        )
        with acting(actor):
            try:
                done = import_tags(application.pk, patterns=options["pattern"], reason=options["reason"])
            except OperationRefused as refused:
                raise CommandError(str(refused)) from None
        for tag, why in done.skipped:
            self.stdout.write(f"skipped {tag}: {why}")
        self.stdout.write(
            f"imported {len(done.made)}, known already {len(done.known)}, skipped {len(done.skipped)}"
            + (f": {done.made[0]} to {done.made[-1]}" if done.made else "")
        )
