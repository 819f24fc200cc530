"""Each saved test of the auditors over ten thousand changes that were made by the rules: seconds, and five at most."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from audit.clock import now
from benchmarks.report import Report
from releases.models import (
    ApprovalDecision,
    ApprovalRequest,
    ChangeEntry,
    Deployment,
    Fact,
    MonitoringPeriod,
    Release,
    Step,
    StepAttempt,
)
from releases.reporting.audit_tests import TESTS
from releases.reporting.audit_tests.base import Scope
from tests.releases import audited

# One change that was made by the rules, of which the others are copies.
database, made, deployment = audited.database, audited.made, audited.deployment

CHANGES = int(os.environ.get("RINGI_BENCH_CHANGES", "10000"))
SECONDS = 5.0
BASE, BATCH = 1_000_000, 500

# Model, path to the copied deployment, the columns that lead to another copied model, and the operation that made its
# rows.
COPIED: tuple[tuple[Any, str, dict[str, Any], str], ...] = (
    (Release, "deployments", {}, "release:plan"),
    (ChangeEntry, "release__deployments", {"release_id": Release}, "release:plan"),
    (Fact, "release__deployments", {"release_id": Release}, "release:refresh_from_git"),
    (Release.editors.through, "release__deployments", {"release_id": Release}, "release:edit"),
    (ApprovalRequest, "deployments", {"release_id": Release}, "release:submit"),
    (ApprovalDecision, "approval_request__deployments", {"approval_request_id": ApprovalRequest}, "approval:approve"),
    (Deployment, "pk", {"release_id": Release, "approval_request_id": ApprovalRequest}, "deployment:request"),
    (Step, "deployment", {"deployment_id": Deployment}, "deployment:enqueue"),
    (StepAttempt, "step__deployment", {"step_id": Step}, "step:claim"),
    (MonitoringPeriod, "deployment", {"deployment_id": Deployment}, "deployment:verify"),
)
CHANGED = {
    "releases_release.version": "'9.' || n || '.0'",
    "releases_release.number": (
        "split_part(s.number, '-', 1) || '-' || lpad((n + 1)::text, greatest(4, length((n + 1)::text)), '0')"
    ),
}
_CONTEXT = (
    "jsonb_build_object('actor', 'command::bench', 'channel', 'command', 'operation_id', md5('change' || n)::uuid)"
)


def label(model: Any) -> str:
    return "releases.Release.editors" if model is Release.editors.through else str(model._meta.label)


def multiplied(database: str, deployment: int, changes: int) -> None:
    """Copy the change that a deployment brought so many times less one, each with the events of an operation of its
    own.
    """
    keys: dict[Any, list[int]] = {}
    for model, path, _links, _operation in COPIED:
        keys[model] = sorted(set(model._default_manager.filter(**{path: deployment}).values_list("pk", flat=True)))
    name = str(conninfo_to_dict(database)["dbname"])
    with psycopg.connect(make_conninfo(os.environ["DATABASE_SERVER_URL"], dbname=name), autocommit=True) as root:
        for model, *_rest in COPIED:
            root.execute(f"ALTER TABLE {model._meta.db_table} DISABLE TRIGGER ALL")
        for begin in range(1, changes, BATCH):
            last = min(begin + BATCH, changes) - 1
            with root.transaction():
                for model, _path, links, operation in COPIED:
                    _copy(root, model, links, keys, begin, last)
                    _write_events(root, model, len(keys[model]), operation, begin, last)
                for operation, object_ in (("release:lock_scope", Release), ("release:submit", Release)):
                    root.execute(
                        f"SELECT count(ringi_write('operation', {_CONTEXT}, '{operation}', '{label(object_)}:' "
                        f"|| {BASE} + n, NULL,"
                        " '{}', '', 'done')) FROM generate_series(%s::bigint, %s::bigint) AS n",
                        [begin, last],
                    )
        for model, *_rest in COPIED:
            root.execute(f"ALTER TABLE {model._meta.db_table} ENABLE TRIGGER ALL")
        root.execute("VACUUM ANALYZE")


def _copy(root: Any, model: Any, links: dict[str, Any], keys: dict[Any, list[int]], begin: int, last: int) -> None:
    table, columns, values = model._meta.db_table, [], []
    for field in model._meta.concrete_fields:
        column = str(field.column)
        value = CHANGED.get(f"{table}.{column}", f's."{column}"')
        other = model if field.primary_key else links.get(column)
        if other is not None:
            place = f'array_position(ARRAY{keys[other]}::bigint[], s."{column}"::bigint) - 1'
            value = f"{BASE} + n * {len(keys[other])} + {place}"
        columns.append(f'"{column}"')
        values.append(value)
    root.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM {table} s,"
        f" generate_series({begin}::bigint, {last}::bigint) AS n WHERE s.id = ANY (ARRAY{keys[model]}::bigint[])"
    )


def _write_events(root: Any, model: Any, rows: int, operation: str, begin: int, last: int) -> None:
    table = model._meta.db_table
    written = "ringi_write('row', {0}, '{1}', '{2}:' || t.id, {3}, ringi_canonical({4}), '', '{5}')"
    made = written.format(_CONTEXT, operation, label(model), "NULL", "to_jsonb(t)", "inserted")
    source = (
        f"FROM (SELECT *, (id - {BASE}) / {rows} AS n FROM {table} WHERE id BETWEEN {BASE + begin * rows} AND "
        f"{BASE + last * rows + rows - 1}) AS t"
    )
    root.execute(f"SELECT count({made.replace('to_jsonb(t)', chr(39).join(('to_jsonb(t) - ', 'n', '')))}) {source}")
    if model is Deployment:
        begun = written.format(
            _CONTEXT,
            "step:claim",
            label(model),
            "'{\"started_at\":null}'",
            "jsonb_build_object('id', t.id, 'started_at', t.started_at, 'state', 'running')",
            "updated",
        )
        root.execute(f"SELECT count({begun}) {source}")


def bench_saved_tests(deployment: Any, database: str, report: Report, quiet: None) -> None:
    """Ask every saved test of the year, over CHANGES changes."""
    began = time.perf_counter()
    multiplied(database, deployment.pk, CHANGES)
    built, until = time.perf_counter() - began, now()
    for test in TESTS:
        began = time.perf_counter()
        outcome = test.run(Scope(until - timedelta(days=365), until))
        taken = time.perf_counter() - began
        report.add(
            "saved tests",
            f"{test.key}, {CHANGES:,} changes",
            f"{taken:.2f} s",
            limit=f"{SECONDS:.0f} s",
            ratio=taken / SECONDS,
            target=f"≤ {SECONDS:.0f} s",
            met=taken <= SECONDS,
            valid=True,
            note=f"{outcome.examined:,} examined, {len(outcome.rows):,} rows; built in {built:.0f} s",
            figures={"seconds": taken, "examined": outcome.examined},
        )
