"""Accounts without rights, and tokens that reach no further than they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from audit.models import Event
from audit.refusals import InvalidInput, NotPermitted
from environments import access
from environments.models import Account, Environment, Token
from environments.operations.account.create import create
from environments.operations.account.invite import enrol, invite
from environments.operations.token.issue import issue_token


def test_a_new_account_may_nothing(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    with acting_as("administrator"):
        made = create(username="sato", display_name="佐藤 花子")
    assert not access.may(made, "read") and not made.is_superuser and not made.has_usable_password()


def test_a_name_that_only_looks_different_is_taken(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    """Case 12: full-width letters and case make no second account."""
    with acting_as("administrator"):
        for name in ("Operator", "ｏｐｅｒａｔｏｒ", " operator "):
            with pytest.raises(InvalidInput, match="already"):
                create(username=name, display_name="x")


def test_a_weak_password_is_refused(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    with acting_as("administrator"):
        made = create(username="sato-hanako", display_name="x")
        secret = invite(made.pk).secret.split("/")[-2]
        for password in ("", "eleven-char", "sato-hanako-1"):
            with pytest.raises(InvalidInput):
                enrol(made.pk, secret=secret, password=password)
    assert not Account.objects.get(username="sato-hanako").has_usable_password()


def test_only_administrators_make_accounts(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    for name in ("manager", "operator", "auditor"):
        with acting_as(name), pytest.raises(NotPermitted):
            create(username="sato", display_name="x")


def test_the_ledger_holds_no_password(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    with acting_as("administrator"):
        made = create(username="sato", display_name="x")
        made = enrol(made.pk, secret=invite(made.pk).secret.split("/")[-2], password="correct-horse-battery")
    row = Event.objects.get(kind="row", operation="account:enrol", object=f"environments.Account:{made.pk}")
    text = bytes(row.bytes).decode()
    assert "pbkdf2" not in text and made.password not in text and "correct-horse" not in text
    assert row.contents["after"]["password"].startswith("hmac-sha256:")


def test_a_token_is_shown_once_and_stored_as_a_digest(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    staging = Environment.objects.get(slug="staging")
    with acting_as("administrator"):
        token, secret = issue_token(people["ci"].pk, environments=(staging.pk,))
    assert token.digest == Token.digest_of(secret) != secret
    assert list(token.environments.all()) == [staging]
    for event in Event.objects.filter(operation="token:issue"):
        assert secret not in bytes(event.bytes).decode()


def test_a_scope_that_is_not_there_is_no_scope_at_all(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    """A token for a wrong environment must not become one for all."""
    with acting_as("administrator"), pytest.raises(InvalidInput, match="environment"):
        issue_token(people["ci"].pk, environments=(987654,))
    assert not Token.objects.exists()


def test_only_service_accounts_have_tokens(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    with acting_as("administrator"), pytest.raises(InvalidInput):
        issue_token(people["operator"].pk)
    with acting_as("manager"), pytest.raises(NotPermitted):
        issue_token(people["ci"].pk)
