"""Time, queries and bytes of the main pages at 100, 10,000 and a million rows, beside the plain Django admin."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import psycopg
from django.urls import reverse
from psycopg import sql

from benchmarks.bench_pages import look
from benchmarks.report import Report, Spread
from releases.models import Deployment, Release
from tests.releases.admin import seed

SIZES = [int(word) for word in os.environ.get("RINGI_BENCH_SIZES", "100 10000 1000000").split()]
LIST_MS, PAGE_MS, GROWTH = 60, 50, 1.2


def fill(address: str, world: dict[str, Any], upto: int) -> None:
    """Add releases that have ended and a run of each, as the owner and without triggers: only reading is measured."""
    owner = psycopg.conninfo.conninfo_to_dict(os.environ["DATABASE_OWNER_URL"])
    parts = {**psycopg.conninfo.conninfo_to_dict(address), "user": owner["user"], "password": owner["password"]}
    with psycopg.connect(psycopg.conninfo.make_conninfo(**parts), autocommit=True) as made:
        for model in (Release, Deployment):
            table = sql.Identifier(model._meta.db_table)
            made.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(table))
        have = Release.objects.count()
        given: dict[str, Any] = {
            "version": "'8.' || g || '.0'", "state": "'completed'", "number": "NULL", "plan": "'{}'::jsonb",
            "created_at": "now() - g * interval '1 minute'",
        }  # fmt: skip
        made.execute(_copies(Release, given), [have + 1, upto, world["draft"].pk])
        runs = {"state": "'succeeded'", "release_id": "r.id", "created_at": "r.created_at"}
        columns = [f.column for f in Deployment._meta.concrete_fields if f.column != "id"]
        picked = sql.SQL(", ").join(
            sql.SQL(runs[c]) if c in runs else sql.SQL("d.") + sql.Identifier(c) for c in columns
        )
        made.execute(
            sql.SQL(
                "INSERT INTO releases_deployment ({}) SELECT {} FROM releases_deployment d, releases_release r"
                " WHERE d.id = %s AND r.version LIKE '8.%%' AND NOT EXISTS"
                " (SELECT 1 FROM releases_deployment o WHERE o.release_id = r.id)"
            ).format(sql.SQL(", ").join(map(sql.Identifier, columns)), picked),
            [world["running"].pk],
        )
        made.execute("ANALYZE releases_release")
        made.execute("ANALYZE releases_deployment")


def _copies(model: type[Any], given: dict[str, str]) -> sql.Composed:
    columns = [f.column for f in model._meta.concrete_fields if f.column != "id"]
    return sql.SQL(
        "INSERT INTO {table} ({names}) SELECT {picked} FROM {table}, generate_series(%s::bigint, %s::bigint) AS g WHERE id = %s"
    ).format(
        table=sql.Identifier(model._meta.db_table),
        names=sql.SQL(", ").join(map(sql.Identifier, columns)),
        picked=sql.SQL(", ").join(sql.SQL(given[c]) if c in given else sql.Identifier(c) for c in columns),
    )


def bench_rows(
    database: str,
    acting_as: Callable[..., Any],
    browsers: Callable[[str], Any],
    report: Report,
    quiet: None,
    settings: Any,
) -> None:
    """Look at the same pages at each size; `ratio` is the last size to the first."""
    from benchmarks import plain

    settings.ROOT_URLCONF = "benchmarks.plain"
    own = settings.TEMPLATES[0]
    world, client = seed.world(acting_as), browsers("manager")
    ours = {
        "My work": (reverse("admin:index"), None),
        "release": (reverse("release", args=[world["review"].pk]), PAGE_MS),
        "list of releases": (reverse("admin:releases_release_changelist"), LIST_MS),
        "list of runs": (reverse("admin:releases_deployment_changelist"), LIST_MS),
        "search for a version": (reverse("admin:releases_release_changelist") + "?q=1.3.0", None),
        "figures": (reverse("figures"), None),
    }
    beside = {"list of releases": "/plain/releases/release/", "list of runs": "/plain/releases/deployment/"}
    seen: dict[tuple[str, int], tuple[int, Spread, bool, int]] = {}
    theirs: dict[tuple[str, int], tuple[int, Spread, bool, int]] = {}
    for size in SIZES:
        fill(database, world, size)
        for name, (address, _limit) in ours.items():
            seen[name, size] = (*look(client, address), len(client.get(address).content))
        settings.TEMPLATES = [{**own, "DIRS": [plain.TEMPLATES]}]
        for name, address in beside.items():
            theirs[name, size] = (*look(client, address), len(client.get(address).content))
        settings.TEMPLATES = [own]
    first, last = SIZES[0], SIZES[-1]
    for name, (_address, limit) in ours.items():
        small, large = seen[name, first], seen[name, last]
        ratio = large[1].p50 / small[1].p50
        met = ratio <= GROWTH and small[0] >= large[0] and (limit is None or large[1].p50 <= limit)
        other = theirs.get((name, last))
        words = "" if other is None else f"plain admin {other[1].p50:.0f} ms, {other[0]} queries, {other[3] // 1000} kB"
        report.add(
            "rows", name, f"{large[1].p50:.0f} ms, {large[0]} queries, {large[3] // 1000} kB", limit=words, ratio=ratio,
            target=f"≤ {GROWTH} × from {first:,} to {last:,} rows" + (f", ≤ {limit} ms" if limit else ""), met=met,
            valid=all(entry[2] for (n, _s), entry in seen.items() if n == name),
            figures={str(s): {"ms": seen[name, s][1].__dict__, "queries": seen[name, s][0], "bytes": seen[name, s][3],
                              "plain": theirs[name, s][1].__dict__ if (name, s) in theirs else None} for s in SIZES},
        )  # fmt: skip
