"""The forms for approvals, gates, steps, windows and freezes: each makes a draft that differs in what was entered."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from releases.models import Procedure
from releases.procedures.compare import changed


def posted(browsers: Any, part: str, **values: Any) -> Any:
    """Change fields of a form as the release manager; return its answer."""
    base = Procedure.objects.get(state="in_effect")
    address = reverse("operation", args=["procedure", f"revise_{part}", base.pk])
    manager = browsers("manager")
    form = manager.get(address).context["form"]
    left_out = (None, "", False)
    sent = {n: f.initial for n, f in form.fields.items() if not any(f.initial is one for one in left_out)}
    return manager.post(address, sent | {"reason": "as agreed"} | values)


def difference() -> dict[str, tuple[str, str]]:
    """Return what the draft changes, without version, history and marks."""
    base, draft = (Procedure.objects.get(state=state) for state in ("in_effect", "draft"))
    found = changed(base.content, draft.content)
    return {
        " › ".join(place): texts
        for place, texts in found.items()
        if place[0] not in ("version", "history") and place[-1] not in ("origin", "default_fields")
    }


@pytest.mark.parametrize("part", ["approvals", "gates", "steps", "windows"])
def test_a_form_that_changes_nothing_makes_no_draft(world: Any, browsers: Any, part: str) -> None:
    answer = posted(browsers, part)
    assert "Nothing differs from version" in answer.content.decode(), answer.context["form"].errors
    assert not Procedure.objects.filter(state="draft").exists()


def test_a_rule_is_changed_and_another_one_added(world: Any, browsers: Any) -> None:
    rules = Procedure.objects.get(state="in_effect").content["approval_rules"]
    number = next(n for n, r in enumerate(rules) if (r["subject"], r["tier"]) == ("regular", "production"))
    new = {"new_role": "project_manager", "new_subject": "regular", "new_stage": 2, "new_risk": ["high"]}
    answer = posted(browsers, "approvals", new_where="environment:production", **new)
    assert answer.status_code == 400 and "asks no one where no condition holds" in answer.content.decode()
    changes = {f"rule__{number}__number": 3, "new_where": "tier:production"}
    assert posted(browsers, "approvals", **changes, **new).status_code == 302
    found = difference()
    assert found.pop("approval_rules › regular · production · 1 · committee › number") == ("2", "3")
    ((place, (left, right)),) = found.items()
    assert (place, left) == ("approval_rules › regular · production · 2 · project_manager", "")
    assert "when.risk: high" in right


def test_gates_follow_single_environments(world: Any, browsers: Any) -> None:
    gates = Procedure.objects.get(state="in_effect").content["gates"]
    number = next(n for n, gate in enumerate(gates) if gate["key"] == "coverage")
    assert posted(browsers, "gates", **{f"gate__{number}": ["staging", "production"]}).status_code == 302
    assert difference() == {"gates › coverage › tiers": ("production", "staging, production")}


def test_a_step_gets_a_deadline_and_another_estimate(world: Any, browsers: Any) -> None:
    values = {"step__deployment__0__estimate_seconds": 77, "step__deployment__0__deadline_seconds": 300}
    assert posted(browsers, "steps", **values).status_code == 302
    (found,) = difference().items()
    assert found[0].startswith("plans › deployment") and "77" in found[1][1] and "300" in found[1][1]


def test_the_window_moves_and_a_freeze_is_added(world: Any, browsers: Any) -> None:
    new = {
        "new_name": "Year end",
        "new_environments": ["production"],
        "new_rrule": "FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=20",
    }
    assert posted(browsers, "windows", length_minutes=180, new_length_minutes=20000, **new).status_code == 302
    found = difference()
    assert found.pop("schedule › regular › length_minutes") == ("240", "180")
    (place, (left, right)) = found.popitem()
    assert (place, left, found) == ("freezes › freeze_1", "", {})
    assert "ja: Year end" in right and "environments: production" in right and "length_minutes: 20000" in right


def test_a_rule_without_days_is_refused_with_its_place(world: Any, browsers: Any) -> None:
    answer = posted(browsers, "windows", rrule="FREQ=SOMETIMES")
    assert answer.status_code == 400 and "schedule.regular.rrule" in answer.content.decode()
