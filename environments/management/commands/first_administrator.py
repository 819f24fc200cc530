"""manage.py first_administrator: make the account that may grant, and nothing else, in an empty system."""

import json
from typing import Any

from django.core.management.base import BaseCommand

from audit.actor import Actor, acting
from environments.actions.access.grant import propose
from environments.actions.account.create import create
from environments.actions.account.invite import invite
from environments.models import Account

NAME = "administrator"


class Command(BaseCommand):
    """Make the first administrator."""

    help = "Prints {username, invitation} of the first administrator until they have enrolled; {} after that."

    def handle(self, *args: Any, **options: Any) -> None:
        """Make it."""
        if Account.objects.exclude(enrolled_at=None).exists() or Account.objects.exclude(username=NAME).exists():
            self.stdout.write("{}")
            return
        with acting(Actor(account_id=None, name="first_administrator", kind="command", channel="command")):
            account = Account.objects.filter(username=NAME).first()
            if account is None:
                account = create(username=NAME, display_name="Administrator")
                propose(account.pk, role="administrator", reason="first administrator of an empty system")
            link = invite(account.pk).secret  # type: ignore[attr-defined]
        self.stdout.write(json.dumps({"username": NAME, "invitation": link}))
