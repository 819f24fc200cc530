"""Helpers of the saved audit tests: run one by its key, and write rows past every rule."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from audit.actor import Actor, acting
from audit.clock import now
from audit.ledger.link import link_pending
from audit.operation import operation
from releases.reporting.audit_tests import TESTS
from releases.reporting.audit_tests.base import Outcome, Scope

COMMAND = Actor(account_id=None, name="forger", kind="command", channel="command")


def ask(key: str, *, since: datetime | None = None, until: datetime | None = None) -> Outcome:
    """Run one saved test over the last year, or over the period given, on linked events as the page does."""
    link_pending(connection)
    (test,) = [test for test in TESTS if test.key == key]
    end = until or now()
    outcome = test.run(Scope(since or end - timedelta(days=365), end))
    assert all(len(row.cells) == len(test.columns) for row in outcome.rows)
    return outcome


def forge(row: Any, **fields: Any) -> Any:
    """Set columns of a row past operations, gates and state machines, but not past the ledger."""
    with acting(COMMAND), operation("test:forge") as op:
        found = type(row)._default_manager.select_for_update().get(pk=row.pk)
        for name, value in fields.items():
            setattr(found, name, value)
        found.save(update_fields=list(fields))
        op.about(found)
    return type(row)._default_manager.get(pk=row.pk)


def make(model: Any, **fields: Any) -> Any:
    """Make a row that no operation would make."""
    with acting(COMMAND), operation("test:forge") as op:
        row = model._default_manager.create(**fields)
        op.about(row)
    return row


def texts(outcome: Outcome) -> list[str]:
    """Return each row on one line."""
    return [" | ".join(str(cell) for cell in row.cells) for row in outcome.rows]
