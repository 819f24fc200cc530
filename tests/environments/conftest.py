"""Granting and revoking roles in tests, by the same operations as in the product."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import translation

from audit.actor import Actor, acting
from environments.models import Account
from environments.operations.access.grant import request_role
from environments.operations.account.create import create
from tests.conftest import enrolled

COMMAND = Actor(account_id=None, name="tests", kind="command", channel="command")


@pytest.fixture
def newcomer(database: str) -> Callable[..., Account]:
    """Return a function: make an account with roles; a role may be a pair (role, environment's row)."""

    def make(username: str, *roles: Any, **fields: Any) -> Account:
        kind = fields.pop("kind", "person")
        with acting(COMMAND):
            account = create(username=username, display_name=username, kind=kind, **fields)
            if kind == "person":
                account = enrolled(account)
            for role in roles:
                name, environment = role if isinstance(role, tuple) else (role, None)
                where = environment.pk if environment is not None else None
                request_role(account.pk, role=name, environment_id=where, reason="for the test")
        return account

    return make


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """Use English, whatever the installation's language is."""
    with translation.override("en"):
        yield
