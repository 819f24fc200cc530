"""Saved audit tests: all with their results, each as a page and as a table to download."""

import time
from typing import Any

from django.db import connection
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from audit.clock import now
from audit.ledger.link import link_pending
from audit.operation import record_event
from environments.admin.rights import auditors
from releases.admin.components import sheet
from releases.admin.components.formatting import show
from releases.admin.components.links import page_of
from releases.admin.components.period import Period, period_of
from releases.queries import saved_test_runs
from releases.reporting.audit_tests import TESTS
from releases.reporting.audit_tests.base import Outcome, SavedTest, Scope

MOST = 500


def _run(test: SavedTest, scope: Scope) -> tuple[Outcome, float]:
    began = time.monotonic()
    outcome = test.run(scope)
    return outcome, time.monotonic() - began


def _read(value: Any) -> Any:
    """Return a moment, as the ledger wrote it, as a time."""
    if isinstance(value, str) and len(value) == 27 and value.endswith("Z"):
        return parse_datetime(value) or value
    return value


def _scope(period: Period) -> Scope:
    link_pending(connection)
    # The period ends now: nothing in the future is late, dormant or expired.
    return Scope(period.since, min(period.until, now()))


@auditors
def audit_tests(request: HttpRequest) -> HttpResponseBase:
    """Run every test over the period, and show the findings of each."""
    period = period_of(request)
    scope = _scope(period)
    results = []
    for test in TESTS:
        outcome, seconds = _run(test, scope)
        results.append((test, outcome, seconds))
    return show(
        request,
        "pages/audit_tests/audit_tests.html",
        _("Saved tests"),
        period=period,
        results=results,
        runs=saved_test_runs.runs(),
        bad=sum(1 for test, outcome, _seconds in results if outcome.rows and not test.listing),
    )


@auditors
def audit_test(request: HttpRequest, key: str) -> HttpResponseBase:
    """Run one test; `?csv=1` gives its rows as a table. This export is an event."""
    test = next((one for one in TESTS if one.key == key), None)
    if test is None:
        raise Http404
    period = period_of(request)
    scope = _scope(period)
    outcome, _seconds = _run(test, scope)
    if request.GET.get("csv"):
        record_event(
            "audit:export_test",
            test=test.key,
            since=period.since.isoformat(),
            until=period.until.isoformat(),
            rows=len(outcome.rows),
        )
        name = f"{test.key}-{period.first_day}-{period.last_day}"
        return sheet.answer(name, test.columns, ([_read(cell) for cell in row.cells] for row in outcome.rows))
    rows = [([_read(cell) for cell in row.cells], page_of(row.about)) for row in outcome.rows[:MOST]]
    return show(
        request,
        "pages/audit_tests/audit_test.html",
        str(test.title),
        test=test,
        period=period,
        moment=scope.until,
        outcome=outcome,
        rows=rows,
        more=max(0, len(outcome.rows) - MOST),
    )
