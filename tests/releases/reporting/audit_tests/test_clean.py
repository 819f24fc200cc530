"""Every saved test passes a change that was made by the rules, and has examined it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import FETCH_RAISE, QuerySet
from django.urls import reverse

from audit.actor import Actor, acting
from audit.clock import now
from audit.models import Event
from audit.reconciliation import nightly
from audit.reconciliation.compare import compared_tables
from releases.models import ApprovalDecision, Deployment
from releases.reporting.audit_tests import TESTS
from releases.reporting.audit_tests.base import SavedTest, Scope
from tests.architecture.files import ROOT
from tests.releases.reporting.audit_tests.asking import ask, texts

# Tests with an empty population in the clean change.
EMPTY = {"emergencies", "expired-waivers", "unexplained-history"}


@pytest.mark.parametrize("key", [test.key for test in TESTS if not test.listing])
def test_a_clean_change_passes(deployment: Any, key: str) -> None:
    # In the tests everybody uses one address; author_on_committee holds no right to start.
    if key == "same-address":
        pytest.skip("has its own test: all actors of the tests share one address")
    outcome = ask(key)
    assert texts(outcome) == []
    assert (outcome.examined == 0) == (key in EMPTY)


def test_the_history_of_a_clean_change_is_explained_row_by_row(deployment: Any) -> None:
    """All operations of people, workers and the scheduler from plan to production."""
    with acting(Actor(account_id=None, name="scheduler", kind="worker", channel="scheduler")):
        found = nightly.reconcile()
    assert found is not None and found.ended_at is not None
    assert found.found["alarms"] == [] and found.found["writes"] == {}
    assert found.found["rows"] == sum(one.history._default_manager.count() for one in compared_tables()) > 40
    (outcome,) = [ask("unexplained-history")]
    assert outcome.examined == found.found["rows"] + found.found["present"] and outcome.rows == []


def test_each_saved_test_is_named_once_and_tested() -> None:
    keys = [test.key for test in TESTS]
    assert len(keys) == len(set(keys))
    written = "".join(
        file.read_text() for file in (ROOT / "tests" / "releases" / "reporting" / "audit_tests").glob("test_*.py")
    )
    assert [key for key in keys if f'ask("{key}"' not in written] == []


def test_each_saved_test_is_a_page_and_a_table(deployment: Any, browsers: Callable[[str], Any]) -> None:
    """Exporting a table is an event."""
    client = browsers("auditor")
    html = client.get(reverse("audit-tests")).content.decode()
    for test in TESTS:
        address = reverse("audit-test", args=[test.key])
        assert f'href="{address}?' in html and str(test.title) in client.get(address).content.decode()
        before = Event.objects.filter(operation="audit:export_test").count()
        answer = client.get(address, {"csv": "1"})
        table = b"".join(answer.streaming_content).decode()
        assert table.startswith("\ufeff" + str(test.columns[0])), test.key
        assert Event.objects.filter(operation="audit:export_test").count() == before + 1
    assert client.get(reverse("audit-test", args=["none"])).status_code == 404
    assert browsers("manager").get(reverse("audit-tests")).status_code == 403


def test_a_cell_is_never_a_formula() -> None:
    from releases.admin.components.sheet import lines

    made = "".join(lines(["a"], [["=1+1"], ["@x"], ["-1"], ["plain"], [None]]))
    assert made == "\ufeffa\r\n'=1+1\r\n'@x\r\n'-1\r\nplain\r\n\"\"\r\n"


class Strict(Scope):
    """A period whose rows refuse to be read one by one."""

    def deployments(self) -> QuerySet[Deployment]:
        return super().deployments().fetch_mode(FETCH_RAISE)

    def approvals(self) -> QuerySet[ApprovalDecision]:
        return super().approvals().fetch_mode(FETCH_RAISE)


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.key)
def test_a_change_that_is_no_exception_needs_no_query_of_its_own(deployment: Any, test: SavedTest) -> None:
    moment = now()
    test.run(Strict(moment - timedelta(days=30), moment))
