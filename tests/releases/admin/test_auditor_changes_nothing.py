"""An auditor requests every address and sends every verb; no table differs afterwards except the ledger's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from audit.models import Event
from releases.admin.operations import VERBS
from tests.releases.admin.test_access_urls import addresses
from tests.releases.admin.test_pages import addresses as pages
from tests.scenarios.test_matrix import value

# Rows that record the sign-in and the requests: sessions, counters of the lock-out, and the ledger.
OWN = re.compile(r"^(django_session|axes_.*|audit_event|audit_pending|audit_ledgerentry|audit_ledgerhead)$")

# The auditor's own sign-in, language and second factors, and the records about the auditor.
HIS = ("account/", "language/", "admin/logout/", "admin/password_change/")
# Pages that answer every method alike.
SHOWN = {"/admin/search/", "/api/v1/docs", "/api/v1/openapi.json"}
HIS_VERBS = {"account:edit_own"}


def contents() -> dict[str, str]:
    """Return table → digest of all its rows, for every table outside OWN."""
    found = {}
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
        for (table,) in cursor.fetchall():
            cursor.execute("SELECT has_table_privilege(%s, 'SELECT')", [table])
            if OWN.match(table) or not cursor.fetchone()[0]:
                continue
            cursor.execute(f"SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {table} t")
            found[table] = cursor.fetchone()[0]
    return found


@pytest.fixture
def auditor(world: dict[str, Any], browsers: Callable[[str], Any]) -> tuple[Client, str]:
    """The auditor's browser, which checks forgery tokens, and a valid token."""
    client = browsers("auditor")
    client.handler.enforce_csrf_checks = True
    token = client.get(reverse("account_change_password")).cookies["csrftoken"].value
    assert client.post(reverse("language"), {"language": "en"}).status_code == 403
    assert client.post(reverse("language"), {"language": "en", "csrfmiddlewaretoken": token}).status_code == 302
    return client, token


def test_the_digests_see_a_change(world: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    from releases.operations.release.plan import add_change

    before = contents()
    with acting_as("manager"):
        add_change(world["draft"].pk, kind="fix", text="one more")
    assert {t for t, digest in contents().items() if digest != before[t]} == {"releases_changeentry"}


@pytest.mark.timeout(600)
def test_an_auditor_request_changes_no_table(world: dict[str, Any], auditor: tuple[Client, str]) -> None:
    """GET and POST of every page of the world and every address of the site, except the auditor's own account."""
    client, token = auditor
    before, last = contents(), Event.objects.count()
    known = {"/" + address for address in addresses() if not address.startswith(HIS)}
    odd = []
    for address in sorted(known | set(pages(world))):
        got = client.get(address)
        if got.streaming:
            b"".join(got.streaming_content)
        sent = client.post(
            address, {"csrfmiddlewaretoken": token, "_selected_action": "1", "action": "delete_selected"}
        )
        # Redirects lead to another page; none reports that an operation was done.
        taken = sent.status_code < 300 and address not in SHOWN
        if taken or got.status_code >= 500 or sent.status_code >= 500:
            odd.append((address, got.status_code, sent.status_code))
    assert odd == []
    assert contents() == before
    kinds = set(Event.objects.order_by("-id")[: Event.objects.count() - last].values_list("kind", flat=True))
    assert kinds <= {"access", "refusal"}


@pytest.mark.timeout(600)
def test_an_auditor_can_execute_no_verb(
    world: dict[str, Any], auditor: tuple[Client, str], acting_as: Callable[..., Any]
) -> None:
    """A filled form, a fresh proof of identity and a valid token change nothing: the refusal is an event."""
    client, token = auditor
    before, sent, done = contents(), 0, []
    for verb in VERBS:
        row = verb.model._default_manager.first() if verb.model is not None else None
        if (verb.model is not None and row is None) or verb.key in HIS_VERBS:
            continue
        with acting_as("auditor"):
            fields = {name: value(field, row) for name, field in verb.form_fields(row).items()}
        given = {name: one for name, one in fields.items() if one is not None}
        for confirmed in ("", "x"):
            answer = client.post(
                verb.url(row.pk if row is not None else None),
                {**given, "csrfmiddlewaretoken": token, "confirmed": confirmed},
            )
            if answer.status_code == 200 and answer.context["preview"] is not None:
                # The preview was shown: confirmed as it is, the verb is refused.
                seen = {"csrfmiddlewaretoken": token, "confirmed": answer.context["confirmed"]}
                answer = client.post(verb.url(row.pk if row is not None else None), {**given, **seen})
            if answer.status_code not in (400, 401, 403, 409):
                done.append((verb.key, answer.status_code))
        sent += 1
    assert done == [] and sent > 50
    assert contents() == before
    assert Event.objects.filter(outcome="refused").count() >= sent - 3
