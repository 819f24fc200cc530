"""The monthly run of all saved tests: due once a month, kept as an event, shown on the page."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.core.management import call_command
from django.urls import reverse
from psycopg.conninfo import conninfo_to_dict

from audit.clock import now, operation_time
from audit.models import Event
from releases.models import Deployment
from releases.queries import saved_test_runs
from tests.releases.reporting.audit_tests.asking import forge


@contextmanager
def at(moment: datetime) -> Iterator[None]:
    """Let `now` return a moment."""
    token = operation_time.set(moment)
    try:
        yield
    finally:
        operation_time.reset(token)


def next_month(moment: datetime) -> datetime:
    """Return a moment in the month after one, in every zone."""
    return (moment.replace(day=1) + timedelta(days=32)).replace(day=3)


def test_a_month_is_a_month_of_the_office() -> None:
    """In Tokyo it is December while it is still November in UTC."""
    before, after = (datetime.fromisoformat(f"2026-11-30T{hour}:30:00+00:00") for hour in (14, 15))
    assert [one.isoformat() for one in saved_test_runs.month_before(before)] == [
        "2026-09-30T15:00:00+00:00",
        "2026-10-31T15:00:00+00:00",
    ]
    assert saved_test_runs.month_before(after)[1].isoformat() == "2026-11-30T15:00:00+00:00"


def test_the_results_of_a_month_are_kept_once_and_shown(
    deployment: Deployment, browsers: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    forge(deployment.approval_request.decisions.first(), at=deployment.started_at + timedelta(hours=1))
    later, said = next_month(now()), io.StringIO()
    assert not saved_test_runs.due(now()), "this month is not over"
    assert saved_test_runs.due(later)
    with at(later):
        call_command("saved_tests", stdout=said)
        assert not Event.objects.filter(operation=saved_test_runs.OUTCOME).exists(), "it keeps only what it is asked to"
        monkeypatch.setenv("LC_ALL", "ja_JP.UTF-8")
        call_command("saved_tests", "--keep", stdout=said)
        call_command("saved_tests", "--keep", stdout=said)
    assert "approval-after-start: " in said.getvalue() and "approval-after-start：検査1件、例外1件" in said.getvalue()
    (run,) = saved_test_runs.runs()
    assert run.since <= deployment.started_at < run.until and not saved_test_runs.due(later)
    (found,) = [one for one in run.results if one["test"] == "approval-after-start"]
    assert found["rows"] == 1 and len(found["first"]) == 1 and len(found["digest"]) == 64
    assert "An approval came after the start." in found["first"][0], "kept in English, whatever the terminal reads"
    assert run.exceptions >= 1
    page = browsers("auditor").get(reverse("audit-tests")).text
    assert run.month in page and reverse("event", args=[run.number]) in page


def test_no_month_is_lost_while_the_scheduler_is_down(deployment: Deployment) -> None:
    """It comes back behind the ends of three months."""
    first, later = now(), now()
    for _month in range(3):
        later = next_month(later)
    with at(later):
        call_command("saved_tests", "--keep", stdout=io.StringIO())
    kept = [(run.since, run.until) for run in saved_test_runs.runs()]
    assert len(kept) == 3 and kept[-1][0] <= first < kept[-1][1] and kept[0][1] <= later
    assert [since for since, _until in kept[:-1]] == [until for _since, until in kept[1:]]
    assert not saved_test_runs.due(later) and saved_test_runs.due(next_month(later))


def test_the_scheduler_may_keep_them(deployment: Deployment, database: str) -> None:
    """With its own database role, in a process of its own; nothing is due, as the month is not over."""
    own = urlsplit(os.environ["DATABASE_SCHEDULER_URL"])._replace(path=f"/{conninfo_to_dict(database)['dbname']}")
    done = subprocess.run(
        [sys.executable, "manage.py", "saved_tests", "--keep"],
        env={**os.environ, "DATABASE_URL": own.geturl()},
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0 and "approval-after-start: " in done.stdout, done.stderr
    assert not Event.objects.filter(operation=saved_test_runs.OUTCOME).exists()
