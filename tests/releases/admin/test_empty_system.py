"""The pages of an installation in its first minute: migrated, one administrator, no procedure and no row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import NoReverseMatch, URLPattern, get_resolver, reverse

from audit.actor import Actor, acting
from environments.operations.access.grant import request_role
from environments.operations.account.create import create
from tests.conftest import enrolled

LEAVING = ("account_logout", "logout")


def names(patterns: Any, space: str = "") -> Iterator[str]:
    """Yield the name of each address."""
    for one in patterns:
        if not isinstance(one, URLPattern):
            inner = f"{space}{one.namespace}:" if one.namespace else space
            yield from names(one.url_patterns, inner)
        elif one.name:
            yield f"{space}{one.name}"


def addresses() -> dict[str, str]:
    """Return name → address of all that name no row."""
    found = {}
    for name in names(get_resolver().url_patterns):
        try:
            found[name] = reverse(name)
        except NoReverseMatch:  # it names a row
            continue
    return found


@pytest.mark.parametrize("role", ["administrator", "auditor"])
@pytest.mark.parametrize("language", ["ja", "en"])
def test_each_page_that_names_no_row_loads(empty_database: str, language: str, role: str) -> None:
    with acting(Actor(account_id=None, name="tests", kind="command", channel="command")):
        account = create(username="first", display_name="First", kind="person", git_addresses=())
        request_role(enrolled(account).pk, role=role, reason="the first one")
    client = Client(headers={"accept-language": language})
    account.refresh_from_db()
    client.force_login(account, backend="environments.backend.GrantBackend")
    answers = {name: client.get(address).status_code for name, address in addresses().items() if name not in LEAVING}
    assert {answers[name] for name in ("admin:index", "calendar", "timeline", "statistics")} == {200}
    assert len(answers) > 60 and not {name: status for name, status in answers.items() if status >= 500}
    if role == "auditor":
        page = client.get(reverse("retention"))
        words = {"en": "No release procedure is in effect.", "ja": "発効中の手順書がありません。"}
        assert page.status_code == 403 and words[language] in page.content.decode()
