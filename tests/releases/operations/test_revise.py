"""Thresholds, the checklist and the approval rules change on a page; the result is a draft with its difference."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.urls import reverse

from audit.refusals import InvalidInput, NotPossible
from environments.admin.rights import Rights
from releases.admin.pages.approval_request.rows import clauses
from releases.admin.pages.procedure.difference import differences
from releases.models import Procedure
from releases.operations.procedure import revise as revising
from releases.operations.procedure.put_into_effect import submit
from releases.operations.procedure.revise import revise


def active() -> Procedure:
    return Procedure.objects.get(state="in_effect")


def coverage(procedure: Procedure) -> Any:
    return next(row for row in procedure.document.thresholds if row.key == "coverage_min")


def cell(part: str, column: str, **which: Any) -> str:
    rows = active().content[part]
    (number,) = [n for n, row in enumerate(rows) if all(row[key] == value for key, value in which.items())]
    return f"{part}__{number}__{column}"


def test_a_changed_threshold_is_no_longer_the_written_procedures(
    acting_as: Callable[..., Any], browsers: Callable[[str], Any]
) -> None:
    manager, base = browsers("manager"), active()
    address = reverse("operation", args=["procedure", "revise_thresholds", base.pk])
    form = manager.get(address).context["form"]
    assert form[cell("thresholds", "value", key="coverage_min")].initial == "0.90"
    sent = {name: form[name].initial for name in form.fields if name != "reason"}
    name = cell("thresholds", "value", key="coverage_min")
    answer = manager.post(address, {**sent, name: "0.85", "reason": "older code"})
    assert answer.status_code == 302
    draft = Procedure.objects.get(state="draft")
    assert (draft.version, coverage(draft).value) == ("1.0.2", "0.85") and "value" in coverage(draft).default_fields
    assert active().content == base.content
    changed = [row.place for row in differences(base.content, draft.content) if row.place != "1.0.2"]
    assert changed == ["version", "coverage_min › value", "coverage_min › default_fields"]


def stricter(content: dict[str, Any]) -> None:
    next(r for r in content["approval_rules"] if (r["subject"], r["tier"]) == ("regular", "production"))["number"] = 3


def test_the_approval_page_shows_the_difference(acting_as: Callable[..., Any], browsers: Any) -> None:
    with acting_as("manager"):
        draft = revise(active().pk, reason="stricter", edit=stricter)
        approval_request = submit(draft.pk, reason="stricter")
    (shown,) = [clause for clause in clauses(approval_request, Rights(None)) if clause.key == "difference"]
    assert "2 → 3" in shown.text and "1.0.1" in shown.label
    page = (
        browsers("committee_a")
        .get(reverse("operation", args=["approval", "approve", approval_request.pk]))
        .content.decode()
    )
    assert "2 → 3" in page
    assert (
        "2 → 3" in browsers("committee_a").get(reverse("approval-request", args=[approval_request.pk])).content.decode()
    )


def test_a_draft_is_changed_in_place_and_items_can_be_added_and_removed(
    acting_as: Callable[..., Any], browsers: Callable[[str], Any]
) -> None:
    with acting_as("manager"):
        draft = revise(active().pk, reason="new item", values={}, removed=[("checklist", 3)])
    address = reverse("operation", args=["procedure", "revise_checklist", draft.pk])
    manager = browsers("manager")
    form = manager.get(address).context["form"]
    sent = {name: form[name].initial or "" for name in form.fields if name.startswith("checklist__")}
    new = {"new_ja": "ライセンス", "new_en": "Licences", "new_group": "technical", "reason": "legal"}
    assert manager.post(address, {**sent, **new}).status_code == 302
    again = Procedure.objects.get(pk=draft.pk)
    names = [row.en for row in again.document.checklist]
    assert "Licences" in names and "Dependencies are looked at" not in names and len(names) == 6
    assert Procedure.objects.filter(state="draft").count() == 1 and again.digest != draft.digest


def test_an_unchanged_or_invalid_revision_is_refused(acting_as: Callable[..., Any]) -> None:
    with acting_as("manager"):
        with pytest.raises(InvalidInput, match="Nothing differs"):
            revise(active().pk, reason="none", values={cell("thresholds", "value", key="coverage_min"): "0.90"})
        with pytest.raises(InvalidInput, match="thresholds"):
            revise(active().pk, reason="none", values={cell("thresholds", "value", key="coverage_min"): "much"})
        draft = revise(active().pk, reason="x", values={cell("thresholds", "value", key="coverage_min"): "0.7"})
        submit(draft.pk, reason="x")
        with pytest.raises(NotPossible):
            revise(draft.pk, reason="x", values={cell("thresholds", "value", key="coverage_min"): "0.6"})
    assert not Procedure.objects.filter(state="draft").exists()


def test_the_history_of_a_revised_version_has_the_day_of_the_office(
    acting_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """08:30 on the 16th in Tokyo is the 15th in UTC."""
    monkeypatch.setattr(revising, "now", lambda: datetime(2026, 12, 15, 23, 30, tzinfo=UTC))
    with acting_as("manager"):
        revised = revise(active().pk, reason="stricter", edit=stricter)
    assert revised.content["history"][-1]["date"] == "2026-12-16"
