"""Case 22: without an account every address answers with the sign-in, a refusal, or one of few public pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

# Addresses that answer without an account, and why.
PUBLIC = {
    "": "leads to the first page",
    "language/": "sets a cookie",
    "account/login/": "the sign-in",
    "account/logout/": "ends a session; without one it leads on",
    "account/inactive/": "says that an account is closed",
    "account/mfa/authenticate/": "the second step of the sign-in; leads to the first one without it",
}
VALUES = {"int": "1", "slug": "x", "str": "x", "path": "x", "uuid": "00000000-0000-0000-0000-000000000000"}
# Random letters of a page, which can contain a short name by chance.
CHANCE = re.compile(r'(?<=name="csrfmiddlewaretoken" value=")\w+')
CLOSED = {301, 302, 401, 403, 404, 405, 429}


def addresses(resolver: Any = None, before: str = "") -> Iterator[str]:
    """Yield every address of the site, with values in place of its parameters."""
    for entry in (resolver or get_resolver()).url_patterns:
        if str(entry.pattern).startswith("^"):
            # A regular expression: its groups and anchors are replaced by text that matches.
            text = re.sub(r"\(\?P<\w+>[^)]*\)", "x", str(entry.pattern).replace("^", "").replace("$", ""))
            text = re.sub(r"\((?:\?:)?([^|)]*)[^)]*\)", r"\1", text).replace("\\", "")
        else:
            text = re.sub(r"<(?:(\w+):)?\w+>", lambda m: VALUES.get(m[1] or "str", "x"), str(entry.pattern))
        if isinstance(entry, URLResolver):
            yield from addresses(entry, before + text)
        elif isinstance(entry, URLPattern):
            yield before + text


def test_the_list_of_addresses_is_complete(database: str) -> None:
    found = set(addresses())
    assert len(found) > 60
    for known in ("admin/access/", "api/v1/evidence", "account/mfa/totp/activate/", "admin/operation/x/x/1/"):
        assert known in found, sorted(found)
    assert set(PUBLIC) <= found


def test_an_anonymous_visitor_sees_no_page(people: dict[str, Any]) -> None:
    client = Client()
    wrong = []
    for address in sorted(set(addresses()) - set(PUBLIC)):
        for method in ("get", "post", "put", "patch", "delete", "head", "options"):
            answer = getattr(client, method)("/" + address)
            inside = answer.status_code in (301, 302) and not re.match(
                r"^(/account/login/|/admin/|/account/)", answer["location"]
            )
            if answer.status_code not in CLOSED or inside:
                wrong.append((method, address, answer.status_code, answer.get("location", "")))
    assert not wrong


def test_public_pages_change_and_reveal_nothing(people: dict[str, Any]) -> None:
    client = Client()
    for address in PUBLIC:
        html = CHANCE.sub("", client.get("/" + address).content.decode())
        for account in set(people.values()) - {people["administrator"]}:  # also a word of the user interface
            assert str(account) not in html and account.username not in html, address
