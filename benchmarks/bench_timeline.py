"""The timeline's first page at ten thousand and at a million events, for each filter; it must stay flat."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from django.urls import reverse
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from audit.actor import acting
from audit.ledger.checkpoint import LedgerSigner
from audit.operation import operation
from benchmarks.bench_ledger import ACTOR, freezes
from benchmarks.bench_pages import look
from benchmarks.bench_rows import GROWTH, NOISE_MS
from benchmarks.report import Report
from environments.models import ChangeFreeze
from releases.models import Release
from releases.reporting.evidence_pack import pack
from tests.conftest import sign_ledger
from tests.releases.admin import seed

SIZES = tuple(int(n) for n in os.environ.get("RINGI_BENCH_TIMELINE", "10000,1000000").split(","))
BATCH = 20_000
MILLISECONDS, SCAN_MS, PACKS_SECONDS = 25, 500, 20
VERSIONS, QUERIES = 50, 6

_MANY = """
SELECT count(ringi_write(
    CASE WHEN n %% 3 = 0 THEN 'operation' WHEN n %% 997 = 0 THEN 'refusal' ELSE 'row' END,
    jsonb_build_object('actor', 'person:' || 1000 + n %% 40 || ':Somebody ' || n %% 40, 'channel', 'admin',
        'operation_id', md5((n / 5)::text)::uuid, 'address', '192.0.2.' || n %% 200),
    (ARRAY['release:edit', 'approval:approve', 'step:claim', 'evidence:upload'])[1 + n %% 4], 'bulk.Row:' || n / 7,
      NULL,
    jsonb_build_object('id', n / 7, 'title', 'メタデータ検索の改善 ' || n, 'text', repeat('x', 180))::text,
      '利用部門の要望',
    CASE WHEN n %% 997 = 0 THEN 'refused' WHEN n %% 3 = 0 THEN 'done' ELSE 'updated' END))
FROM generate_series(%s::bigint, %s::bigint) AS n
"""


def fill(database: str, begin: int, end: int) -> None:
    """Write events `begin` to `end` of everyday types through the ledger's own function."""
    name = conninfo_to_dict(database)["dbname"]
    with psycopg.connect(make_conninfo(os.environ["DATABASE_SERVER_URL"], dbname=name), autocommit=True) as root:
        for start in range(begin, end, BATCH):
            with root.transaction():
                root.execute(_MANY, [start, min(start + BATCH, end) - 1])
        root.execute("VACUUM ANALYZE audit_event, audit_ledgerentry")


def query_strings() -> dict[str, str]:
    """Return name → query string of the timeline."""
    return {
        "all": "",
        "person": "?account=1007",
        "person who never acted": "?account=999999",
        "operation": "?operation=approval:approve",
        "refused": "?outcome=refused",
        "object": "?object=bulk.Row:3",
        "deep page": "?before=5000",
        "words often there": "?words=検索",
        "words nowhere": "?words=見つからない",
    }


def bench_timeline(
    database: str,
    acting_as: Callable[..., Any],
    browsers: Callable[[str], Any],
    report: Report,
    tmp_path: Path,
    quiet: None,
) -> None:
    """Look at the first page for each filter, at each size."""
    client, before, at = browsers("auditor"), {}, 1
    signer = LedgerSigner(tmp_path / "ledger_signer")
    for size in SIZES:
        fill(database, at, size)
        assert sign_ledger(signer) is not None
        at = size
        for name, query in query_strings().items():
            queries, spread, fine = look(client, reverse("timeline") + query)
            few = before.setdefault(name, spread)
            most = SCAN_MS if name == "words nowhere" else MILLISECONDS  # it reads SCAN events and says so
            report.add(
                "timeline",
                f"time: {name}, {size:,} events",
                f"{queries} queries, {spread.p50:.0f} ms",
                target=f"≤ {most} ms",
                met=spread.p50 <= most,
                note="Django's test client",
                valid=fine,
                figures={"queries": queries, "time": spread.__dict__},
            )
            if size != SIZES[0] and name != "words nowhere":
                report.add(
                    "timeline",
                    f"{name}, {size:,} events",
                    f"{spread.p50:.0f} ms",
                    limit=f"{few.p50:.0f} ms at {SIZES[0]:,}",
                    ratio=spread.p50 / few.p50,
                    target=f"≤ {GROWTH} × and {NOISE_MS} ms",
                    met=spread.p50 <= GROWTH * few.p50 + NOISE_MS,
                    valid=fine,
                )


def bench_history_of_an_object(
    database: str, acting_as: Callable[..., Any], browsers: Callable[[str], Any], report: Report, quiet: None
) -> None:
    """Look at the history of an object that was changed fifty times."""
    (row,) = freezes(ChangeFreeze, 1)
    with acting(ACTOR):
        for n in range(VERSIONS - 1):
            with operation("bench:save", (ChangeFreeze, row.pk)) as op:
                op.get(ChangeFreeze).reason = f"reason {n}"
    address = f"{reverse('timeline')}?object=environments.ChangeFreeze:{row.pk}&kind=row"
    client = browsers("auditor")
    queries, spread, fine = look(client, address)
    shown = client.get(address).content.decode().count(' kind-row"')
    report.add(
        "timeline",
        f"history of an object, {VERSIONS} versions",
        f"{queries} queries, {spread.p50:.0f} ms",
        limit=f"{QUERIES} queries",
        ratio=queries / QUERIES,
        target=f"≤ {QUERIES} queries",
        met=queries <= QUERIES,
        valid=fine and shown == VERSIONS,
        note="session, account and rights included",
        figures={"queries": queries, "time": spread.__dict__},
    )


def bench_packs(database: str, acting_as: Callable[..., Any], report: Report, quiet: None, tmp_path: Any) -> None:
    """Write the pack of one change 25 times, beside a ledger of the larger size."""
    import time
    import tracemalloc

    from django.db import connection

    from audit.ledger.tree import Tree

    world = seed.world(acting_as)
    fill(database, 1, SIZES[-1])
    signer = LedgerSigner(tmp_path / "ledger_signer")
    connection.ensure_connection()
    sign_ledger(signer)
    release = Release.objects.get(pk=world["released"].pk)
    began, tree = time.perf_counter(), Tree(connection)
    for _n in range(25):
        with (tmp_path / "pack.zip").open("wb") as out:
            pack.write(release, out, tree=tree)
    taken = time.perf_counter() - began
    tracemalloc.start()
    with (tmp_path / "pack.zip").open("wb") as out:
        pack.write(release, out, tree=tree)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    size = json.dumps(SIZES[-1])
    report.add(
        "timeline",
        f"25 evidence packs, {size} events",
        f"{taken:.1f} s",
        limit=f"{PACKS_SECONDS} s",
        ratio=taken / PACKS_SECONDS,
        target=f"≤ {PACKS_SECONDS} s",
        met=taken <= PACKS_SECONDS,
        note=f"peak of one pack {peak:.1f} MB",
        valid=True,
        figures={"seconds": taken, "peak_mb": peak},
    )
