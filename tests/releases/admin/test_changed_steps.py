"""The decision sheet says what differs from the last deployment: steps, their order, and deployment targets."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse
from django.utils import translation

from audit.operation import operation
from environments.models import DeploymentTarget
from environments.models.environment import targets_in
from releases.admin.pages.approval_request.rows import changed_targets, last_there
from releases.admin.pages.approval_request.sheet import changed_steps
from releases.queries.step_plan import production_of
from tests.releases.admin.seed import make_deployment
from tests.releases.gates.asking import alter, make


@pytest.mark.parametrize(
    ("spoken", "places"),
    [
        ("en", ["Deployment › Take a backup › estimate", "Deployment › order"]),
        ("ja", ["デプロイ › バックアップ取得 › 見積時間", "デプロイ › 順序"]),
    ],
)
def test_steps_are_named_by_phase_and_label(spoken: str, places: list[str], seeded: dict[str, Any]) -> None:
    before = seeded["review"].step_plan
    after = copy.deepcopy(before)
    first, second, *others = after["deployment"]
    after["deployment"] = [second, first | {"estimate_seconds": 9}, *others]
    with translation.override(spoken):
        found = changed_steps(before, after)
        assert sorted(one.place for one in found) == sorted(places)
        assert not changed_steps(before, before)
    assert [one.right for one in found if "order" not in one.place and "順序" not in one.place] == ["9"]


@pytest.mark.parametrize("spoken", ["en", "ja"])
def test_each_field_of_a_step_is_compared(spoken: str, seeded: dict[str, Any]) -> None:
    """Two fields with one name would hide each other."""
    plan = seeded["review"].step_plan
    first, *others = plan["deployment"]
    with translation.override(spoken):
        for name in first:
            altered = plan | {"deployment": [first | {name: "another"}, *others]}
            assert changed_steps(plan, altered), name


def test_the_sheet_shows_that_a_step_was_moved(
    seeded: dict[str, Any], browsers: Callable[[str], Any], acting_as: Callable[..., Any]
) -> None:
    review, client = seeded["review"], browsers("committee_b")
    address = reverse("approval-request", args=[seeded["round"].pk])
    ways = ("schedule", "enqueue", "start", "start_verification", "start_monitoring")
    last = make_deployment(acting_as, seeded["released"], "production", *ways)
    alter(last, application=review.application, release=seeded["draft"])
    alter(seeded["draft"], step_plan=review.step_plan)
    assert last_there(review, production_of(review)) == last
    page = client.get(address).text
    assert "as in the last deployment" in page and "Deployment › order" not in page
    alter(seeded["draft"], step_plan=review.step_plan | {"deployment": review.step_plan["deployment"][::-1]})
    assert "Deployment › order" in client.get(address).text


def test_the_sheet_shows_each_target_that_differs(
    seeded: dict[str, Any], browsers: Callable[[str], Any], acting_as: Callable[..., Any]
) -> None:
    review, client = seeded["review"], browsers("committee_b")
    place, address = production_of(review), reverse("approval-request", args=[seeded["round"].pk])
    ways = ("schedule", "enqueue", "start", "start_verification", "start_monitoring")
    last = make_deployment(acting_as, seeded["released"], "production", *ways)
    last = alter(last, application=review.application)
    (only,) = targets_in(review.application, place)
    alter(last.steps.first(), target=only)
    assert changed_targets([only], last) == []
    only = alter(only, group="web")
    assert changed_targets([only], last) == ['group: "" → web']
    assert "group:" in client.get(address).text
    with acting_as("operator"), operation("test:alter", (DeploymentTarget, only.pk)) as op:
        op.get(DeploymentTarget).retired = True
    new = make(DeploymentTarget, application=review.application, environment=place, name="b", root="/srv/b")
    assert changed_targets([new], last) == [f"{only.name} is retired", "b is new"]
