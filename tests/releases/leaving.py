"""A person who has left, with contact data, and the erasure of these by two administrators."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from audit.models import Event
from environments.models import Account, RequestedChange
from environments.operations.account import deactivate as accounts, edit
from environments.operations.requested_change.decide import confirm_change
from releases.models import GroupRecipient
from releases.operations.erasure import erase
from tests.releases.gates.asking import make

TELEPHONE, MAIL, GIT = "+81-90-1111-2222", "leaver@example.com", "leaver@git.example"


def leaver_of(people: dict[str, Any], acting_as: Callable[..., Any]) -> Account:
    """Return an account with contact data that were entered and then changed, as people do it."""
    account = make(Account, username="leaver", display_name="Leaver", is_staff=True)
    for telephone in ("+81-90-0000-0000", TELEPHONE):
        with acting_as("administrator"):
            waiting = edit.edit(
                account.pk,
                display_name="Leaver",
                affiliation="Sales",
                job_title="Clerk",
                employee_id="E-77",
                telephone=telephone,
                git_addresses=(GIT,),
                email=MAIL,
                reason="x",
            )
        if isinstance(waiting, RequestedChange):
            with acting_as("second_administrator"):
                confirm_change(waiting.pk)
    return Account.objects.get(pk=account.pk)


@pytest.fixture
def leaver(people: dict[str, Any], acting_as: Callable[..., Any]) -> Account:
    """Such an account, deactivated."""
    account = leaver_of(people, acting_as)
    with acting_as("administrator"):
        accounts.deactivate(account.pk, reason="left")
    return Account.objects.get(pk=account.pk)


def recipient_erased(recipient: GroupRecipient, acting_as: Callable[..., Any]) -> GroupRecipient:
    """Let two administrators erase a recipient without account."""
    with acting_as("administrator"):
        erase.request_recipient_erasure(recipient.pk, reason="asked for by the person")
    with acting_as("second_administrator"):
        erase.confirm_recipient_erasure(recipient.pk)
    return GroupRecipient.objects.get(pk=recipient.pk)


def erased(account: Account, acting_as: Callable[..., Any]) -> Account:
    """Let two administrators erase it."""
    with acting_as("administrator"):
        erase.request_erasure(account.pk, reason="asked for by the person")
    with acting_as("second_administrator"):
        erase.confirm_erasure(account.pk)
    return Account.objects.get(pk=account.pk)


def ledger() -> str:
    """Return all events as text."""
    return "".join(bytes(row).decode() for row in Event.objects.order_by("at", "id").values_list("bytes", flat=True))


def keys(database: str) -> set[str]:
    """Return the labels of the rows that have a key, read as the superuser."""
    name = str(conninfo_to_dict(database)["dbname"])
    with psycopg.connect(make_conninfo(os.environ["DATABASE_SERVER_URL"], dbname=name)) as root:
        return {label for (label,) in root.execute("SELECT object FROM audit_personal_key")}
