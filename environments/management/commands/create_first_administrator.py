"""manage.py create_first_administrator: make the account that may grant, and nothing else, in an empty system."""

import json
from typing import Any

from django.core.management.base import BaseCommand

from audit.actor import Actor, acting
from environments.models import Account
from environments.operations.access.grant import request_role
from environments.operations.account.create import create
from environments.operations.account.invite import invite

NAME = "administrator"


class Command(BaseCommand):
    """Make the first administrator."""

    help = "Prints {username, invitation} of the first administrator until they have enrolled; {} after that."

    def handle(self, *args: Any, **options: Any) -> None:
        """Make it."""
        if Account.objects.exclude(enrolled_at=None).exists() or Account.objects.exclude(username=NAME).exists():
            self.stdout.write("{}")
            return
        with acting(Actor(account_id=None, name="create_first_administrator", kind="command", channel="command")):
            account = Account.objects.filter(username=NAME).first()
            if account is None:
                account = create(username=NAME, display_name="Administrator")
                request_role(account.pk, role="administrator", reason="first administrator of an empty system")
            link = invite(account.pk).secret  # type: ignore[attr-defined]
        self.stdout.write(json.dumps({"username": NAME, "invitation": link}))
