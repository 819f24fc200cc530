"""Break-glass accounts: two administrators mark one, and each sign-in with it reaches administrators and auditors."""

from __future__ import annotations

from typing import Any

from django.test import Client

from audit.actor import acting
from audit.models import Event, Outbox
from environments.models import Account, RequestedChange
from environments.operations.account.edit import edit
from environments.operations.requested_change.decide import confirm_change
from releases.queries.assignees import assignees
from releases.queries.notification_subject import subject_of
from tests.conftest import PASSWORD
from tests.releases.gates.asking import COMMAND, alter


def fields_of(account: Account) -> dict[str, Any]:
    kept = {name: getattr(account, name) for name in ("display_name", "employee_id", "language", "email")}
    return kept | {"git_addresses": tuple(account.git_addresses), "reason": "for the day without the provider"}


def test_two_administrators_mark_and_unmark_an_account(people: dict[str, Any], acting_as: Any) -> None:
    account = people["outsider"]
    for wanted in (True, False):
        with acting_as("administrator"):
            asked = edit(account.pk, **fields_of(account), break_glass=wanted)
        assert isinstance(asked, RequestedChange) and asked.after == {"break_glass": wanted}
        account.refresh_from_db()
        assert account.break_glass is not wanted
        with acting_as("second_administrator"):
            confirm_change(asked.pk)
        account.refresh_from_db()
        assert account.break_glass is wanted
    with acting_as("administrator"):
        assert edit(account.pk, **fields_of(account)) == account, "what is left out stays as it is"


def test_its_use_notifies_administrators_and_auditors(people: dict[str, Any]) -> None:
    account = people["outsider"]
    for marked in (False, True):
        with acting(COMMAND):
            alter(account, break_glass=marked)
        client = Client()
        client.post("/account/login/", {"login": "outsider", "password": PASSWORD})
        assert client.get("/admin/").status_code == 200
        assert Event.objects.filter(operation="account:use_break_glass", kind="operation").count() == marked
    entry = Outbox.objects.get(event="account:use_break_glass")
    subject = subject_of(entry.object)
    assert subject is not None and subject.row == account
    named = {one.username for one in assignees(entry.event, subject, entry.payload)}
    assert named == {"administrator", "second_administrator", "auditor"}


def test_the_form_marks_it(people: dict[str, Any], browsers: Any) -> None:
    account = people["outsider"]
    address = f"/admin/operation/account/edit/{account.pk}/"
    client = browsers("administrator")
    assert 'name="break_glass"' in client.get(address).content.decode()
    given = fields_of(account) | {"break_glass": "on", "git_addresses": "\n".join(account.git_addresses)}
    assert client.post(address, given).status_code == 302
    assert RequestedChange.objects.get().after == {"break_glass": True}
