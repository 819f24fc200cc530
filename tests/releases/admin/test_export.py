"""The whole ledger, streamed: its length is stated, its last event is the export itself, and it verifies offline."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from django.db import connection
from django.urls import reverse

from audit.ledger.link import link_pending
from audit.models import Event, LedgerHead
from tests.architecture.files import ROOT


def test_the_export_holds_every_event_and_itself(
    people: dict[str, Any], browsers: Callable[[str], Any], tmp_path: Path
) -> None:
    client = browsers("auditor")
    link_pending(connection)
    before = LedgerHead.objects.get().number
    assert client.get(reverse("ledger-export")).status_code == 200
    assert LedgerHead.objects.get().number == before
    answer = client.get(reverse("ledger-export"), {"take": "1"})
    raw = b"".join(answer.streaming_content)
    answer.close()
    assert int(answer["Content-Length"]) == len(raw)
    last = Event.objects.select_related("ledger_entry").order_by("-ledger_entry__number")[0]
    assert (last.operation, last.ledger_entry.number) == ("audit:export_ledger", before + 1)
    assert raw.count(b"\n") == before + 3
    file = tmp_path / "ledger.jsonl"
    file.write_bytes(raw)
    done = subprocess.run(
        [sys.executable, str(ROOT / "audit" / "offline" / "ringi_verify.py"), str(file)], capture_output=True, text=True
    )
    # No ledger signer runs beside this test, so the bytes fit without a signature.
    assert done.returncode == 2 and f"the {before + 1} events, which fit each other" in done.stdout, done.stdout


def test_a_part_is_exported_with_what_proves_it(
    people: dict[str, Any], browsers: Callable[[str], Any], tmp_path: Path
) -> None:
    client = browsers("auditor")
    answer = client.get(reverse("ledger-export"), {"take": "1", "first": "3", "last": "5"})
    raw = b"".join(answer.streaming_content)
    answer.close()
    assert raw.count(b'"leaf"') == 3 and 'filename="ledger-3-5.jsonl"' in answer["Content-Disposition"]
    assert Event.objects.get(operation="audit:export_ledger").contents["after"] == {"first": 3, "last": 5}
    file = tmp_path / "part.jsonl"
    file.write_bytes(raw)
    program = ROOT / "audit" / "offline" / "ringi_verify.py"
    done = subprocess.run([sys.executable, str(program), str(file)], capture_output=True, text=True)
    assert done.returncode == 2 and "events 3 to 5, which fit each other" in done.stdout, done.stdout
    assert client.get(reverse("ledger-export"), {"take": "1", "first": "9" * 9}).status_code == 404


def test_an_auditor_downloads_the_programs_and_verifies_with_them(
    people: dict[str, Any], browsers: Callable[[str], Any], tmp_path: Path
) -> None:
    """They run in a folder of their own, and are those whose digests the page shows."""
    client, page = browsers("auditor"), browsers("auditor").get(reverse("ledger-export")).content.decode()
    folder = ROOT / "audit" / "offline"
    for name in sorted(path.stem for path in folder.glob("ringi_*.py")):
        answer = client.get(reverse("program", args=[name]))
        assert sha256(answer.content).hexdigest() in page and answer.content == (folder / f"{name}.py").read_bytes()
        (tmp_path / f"{name}.py").write_bytes(answer.content)
        done = subprocess.run(
            [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import {name}"],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    answer = client.get(reverse("ledger-export"), {"take": "1"})
    (tmp_path / "ledger.jsonl").write_bytes(b"".join(answer.streaming_content))
    answer.close()
    done = subprocess.run(
        [sys.executable, "ringi_verify.py", "ledger.jsonl"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2 and "which fit each other" in done.stdout, done.stdout
    assert client.get("/admin/export/settings.py").status_code == 404
    assert browsers("manager").get(reverse("program", args=["ringi_verify"])).status_code == 403


def test_a_disconnected_reader_leaves_no_connection(database: str, browsers: Callable[[str], Any]) -> None:
    import psycopg

    client = browsers("auditor")
    answer = client.get(reverse("ledger-export"), {"take": "1"})
    next(iter(answer.streaming_content))
    with psycopg.connect(database, autocommit=True) as raw:
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
        assert raw.execute(count).fetchone() == (1,)
        answer.close()
        for _try in range(100):
            if raw.execute(count).fetchone() == (0,):
                return
    raise AssertionError("the connection of the export is still open")
