"""manage.py first_administrator: make the account that may grant, and nothing else, in an empty system."""

import json
import secrets
from typing import Any

from django.core.management.base import BaseCommand

from audit.actor import Actor, acting
from environments.actions.access.grant import propose
from environments.actions.account.create import create
from environments.models import Account


class Command(BaseCommand):
    """Make the first administrator."""

    help = "Prints {username, password} of a new administrator once; {} when there are accounts already."

    def handle(self, *args: Any, **options: Any) -> None:
        """Make it."""
        if Account.objects.exists():
            self.stdout.write("{}")
            return
        password = secrets.token_urlsafe(15)
        with acting(Actor(account_id=None, name="first_administrator", kind="command", channel="command")):
            account = create(
                username="administrator",
                display_name="Administrator",
                password=password,
                must_change_password=True,
            )
            propose(account.pk, role="administrator", reason="first administrator of an empty system")
        self.stdout.write(json.dumps({"username": account.username, "password": password}))
