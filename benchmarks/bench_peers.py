"""The cost of other audit libraries per save, each in a small project and a database of its own, beside ours of the
same measurement.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from benchmarks.bench_ledger import SAVES
from benchmarks.peer.__main__ import PEERS
from benchmarks.report import Report, Spread

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture
def empty_database() -> Iterator[str]:
    """A database without any table, reached as the server's own role."""
    server, name = os.environ["DATABASE_SERVER_URL"], f"ringi_bench_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as root:
        root.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield make_conninfo(server, dbname=name)
        root.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.mark.parametrize("peer", PEERS)
def bench_peer_save(peer: str, empty_database: str, report: Report) -> None:
    """Save one changed field through the ORM, in a transaction of its own, plain and audited by the library."""
    name = f"another library: {peer}"
    if importlib.util.find_spec(PEERS[peer][0]) is None:
        report.add("ledger", name, "absent", note="not installed; `pip install` it beside the others to measure it")
        return
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peer", str(SAVES)],
        cwd=PROJECT,
        env={**os.environ, "RINGI_PEER": peer, "DATABASE": empty_database},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    plain, kept = Spread(**found["plain"]), Spread(**found["kept"])
    report.add(
        "ledger",
        name,
        kept,
        limit=f"its own plain save {plain}",
        ratio=kept.p50 / plain.p50,
        valid=found["rows"] >= SAVES,
        note=f"n={SAVES}; a small project of its own",
        figures=found,
    )
