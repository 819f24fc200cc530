"""The preparation board: what the next stage needs is what its operation refuses for, item by item."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse

from audit.clock import now
from audit.refusals import GateNotPassed, InvalidInput
from releases.models import Procedure, Release
from releases.operations.release.plan import add_change, edit, plan, set_configurations
from releases.operations.release.prepare import complete_testing, lock_scope
from releases.operations.release.readiness import for_scope, for_testing
from tests.releases.gates.asking import alter

Clients = Callable[[str], Any]


def board(client: Any, release: Release) -> Any:
    """Return the board on the page of a release."""
    answer = client.get(reverse("release", args=[release.pk]))
    assert answer.status_code == 200
    return answer.context["board"]


@pytest.fixture
def draft(world: Any) -> Release:
    """A draft in which nothing is filled in."""
    with world.acting_as("manager"):
        return plan(application_id=world.application.pk, version="1.3.0", title="1.3.0")


def test_the_scope_is_refused_for_just_what_the_board_lacks(world: Any, draft: Release) -> None:
    content = Procedure.objects.of(world.application).document
    missing = [reason for item in for_scope(draft, content) for reason in item.reasons]
    assert len(missing) == 5
    with world.acting_as("manager"), pytest.raises(InvalidInput) as refused:
        lock_scope(draft.pk)
    assert list(refused.value.reasons) == missing
    whole = world.planned("1.4.0")
    assert all(item.ready for item in for_scope(whole, content))
    with world.acting_as("manager"):
        lock_scope(whole.pk)


def test_each_missing_item_has_its_form_and_who_fills_it_in(world: Any, draft: Release, browsers: Clients) -> None:
    shown = board(browsers("manager"), draft)
    assert (shown.ready, len(shown.lines)) == (1, 6)
    lines = {line.item.verb: line for line in shown.lines}
    assert lines["release:edit"].url == reverse("operation", args=["release", "edit", draft.pk])
    assert "Developer" in lines["release:add_change_entry"].who and "Release manager" in lines["release:edit"].who
    assert "Auditor" not in lines["release:edit"].who
    reader = {line.item.verb: line for line in board(browsers("auditor"), draft).lines}
    assert {line.url[0] for line in reader.values()} == {"#"}, "no form for who may not use it"
    with world.acting_as("manager"):
        set_configurations(draft.pk, configuration_ids=[row.pk for row in world.configurations.values()])
        edit(draft.pk, fields=dict.fromkeys(draft.APPLICATION_FIELDS, "as written") | {"risk": "low"})
    with world.acting_as("developer"):
        add_change(draft.pk, kind="feature", text="Datasets can be tagged")
    shown = board(browsers("manager"), draft)
    assert [line.item.verb for line in shown.lines if not line.item.ready] == [
        "release:select_commit",
        "release:set_scheduled_start",
    ]
    assert [line.item.ready for line in shown.lines] == [False, False, True, True, True, True]


def test_testing_is_refused_for_just_what_the_board_lacks(world: Any, browsers: Clients) -> None:
    release = world.planned()
    with world.acting_as("manager"):
        lock_scope(release.pk)
    release = world.fresh(release)
    missing = [reason for item in for_testing(release) for reason in item.reasons]
    with world.acting_as("manager"), pytest.raises(GateNotPassed) as refused:
        complete_testing(release.pk)
    assert list(refused.value.reasons) == missing
    shown = board(browsers("tester"), release)
    lines = {line.item.label: line for line in shown.lines}
    assert lines["Checklist"].url == reverse("sign-all", args=[release.pk])
    assert lines["Environment order"].url == reverse("operation", args=["deployment", "request", release.pk])
    assert shown.due is not None and shown.due.guards == "complete_testing"


def test_an_overdue_milestone_stands_on_the_board(world: Any, browsers: Clients) -> None:
    release = world.planned()
    alter(release.milestones.get(guards="lock_scope"), due_at=now() - timedelta(days=1), due_immediately=False)
    (line,) = [line for line in board(browsers("manager"), release).lines if not line.item.ready]
    assert "is overdue" in line.item.reasons[0] and "set_scheduled_start" in line.url
    with world.acting_as("manager"), pytest.raises(GateNotPassed) as refused:
        lock_scope(release.pk)
    assert tuple(refused.value.reasons) == line.item.reasons


def test_after_testing_there_is_no_board(world: Any, browsers: Clients) -> None:
    release = world.tested()
    assert board(browsers("manager"), release) is None


def test_a_pre_release_needs_one_verified_deployment(world: Any) -> None:
    release = alter(world.planned(), kind="pre_release")
    (item,) = for_testing(release)
    assert item.reasons == ("The release has not been verified in any environment yet.",)
    world.verified_deployment(release, "development")
    assert for_testing(world.fresh(release))[0].ready
