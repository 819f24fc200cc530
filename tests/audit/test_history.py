"""History and timeline, read through Django in a process of its own over a bare ledger."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from audit.actor import Actor
from tests.audit.conftest import LedgerDatabase, execute

PROJECT = Path(__file__).parents[2]
TANAKA = Actor(account_id=77, name="田中", kind="person", channel="api")

READ = """
import json, sys
from datetime import datetime
import django
django.setup()
from django.db import connection
from django.test.utils import CaptureQueriesContext
from audit.ledger.link import link_pending
from audit.models import LedgerEntry
from audit.search import Wanted, look
link_pending(connection)
pages = []
for page, arguments in json.loads(sys.argv[1]):
    for moment in {"since", "until"} & arguments.keys():
        arguments[moment] = datetime.fromisoformat(arguments[moment])
    if "before" in page:
        page["before"] = LedgerEntry.objects.get(number=page["before"]).event_id
    with CaptureQueriesContext(connection) as queries:
        found = look(Wanted(**arguments), **{"limit": 50, "before": None} | page).events
        numbers = [event.ledger_entry.number for event in found]
    after = [event.contents["after"] for event in found]
    pages.append({"numbers": numbers, "queries": len(queries), "after": after})
print(json.dumps(pages))
"""


def _read(ledger: LedgerDatabase, *calls: tuple[dict[str, Any], dict[str, Any]]) -> list[dict[str, Any]]:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.audit.bare_settings",
        "LEDGER_TEST_URL": ledger.url(ledger.app),
        "LEDGER_TEST_STATE": "unused",
    }
    done = subprocess.run(
        [sys.executable, "-c", READ, json.dumps(calls)], cwd=PROJECT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_history_and_timeline_page_by_number_newest_first(ledger: LedgerDatabase) -> None:
    app = ledger.as_app()
    execute(app, "INSERT INTO toy (title) VALUES ('a'), ('b')")
    for n in range(4):
        execute(app, "UPDATE toy SET title = %s WHERE id = 1", [str(n)], actor=TANAKA, operation="toy:rename")
    toy = {"object_label": "toys.Toy:1"}
    pages = _read(
        ledger,
        ({"limit": 3}, toy),
        ({"limit": 3, "before": 4}, toy),
        ({}, {"account_id": 7}),
        ({"limit": 2}, {"account_id": 77}),
        ({"before": 5}, {"operation": "toy:rename", "outcome": "updated"}),
        ({}, {"model": "toys.Toy", "words": "試験"}),
        ({}, {"model": "toys.To"}),
        ({}, {"until": "2020-01-01T00:00:00Z"}),
    )
    assert [page["numbers"] for page in pages] == [
        [6, 5, 4],
        [3, 1],
        [2, 1],
        [6, 5],
        [4, 3],
        [6, 5, 4, 3, 2, 1],
        [],
        [],
    ]
    # A search for words that ends before its page is full asks how far it came.
    assert [page["queries"] for page in pages] == [1, 1, 1, 1, 1, 2, 1, 1]
    assert pages[0]["after"][0] == {"id": 1, "title": "3"}
