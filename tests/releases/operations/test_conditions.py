"""What a procedure asks of some releases only: by their risk class, in one environment, or as a veto."""

from __future__ import annotations

from typing import Any

import pytest

from audit.refusals import NotPermitted
from releases.gates.base import Known
from releases.models import Release
from releases.operations.approval import decide
from releases.operations.release.plan import edit
from releases.operations.release.prepare import lock_scope
from releases.procedures.document import Procedure as Content
from releases.procedures.load import default

from .test_own_roles import RISK_OFFICE, in_effect

HIGH = {"risk": ["high"]}


def rule(role: str, stage: int, **fields: Any) -> dict[str, Any]:
    """One rule for regular releases in production."""
    row = {"subject": "regular", "tier": "production", "stage": stage, "role": role, "number": 1, "origin": "default"}
    return row | fields


def procedure(*rules: dict[str, Any], **changes: Any) -> Content:
    """The default with other rules for regular releases, and a role of its own."""
    raw = default().model_dump(mode="json") | {key: value for key, value in changes.items() if key != "rows"}
    raw["version"], raw["history"][-1]["version"] = "9.0.0", "9.0.0"
    raw["roles"].append(RISK_OFFICE)
    if rules:
        kept = [r for r in raw["approval_rules"] if (r["subject"], r["tier"]) != ("regular", "production")]
        raw["approval_rules"] = [*kept, *rules]
    return Content.checked(raw)


BY_RISK = (rule("committee", 1, number=2), rule("risk_office", 2, when=HIGH))


@pytest.mark.parametrize(("risk", "roles"), [("low", ["committee"]), ("high", ["committee", "risk_office"])])
def test_a_high_risk_asks_one_stage_more(world: Any, risk: str, roles: list[str]) -> None:
    in_effect(world, procedure(*BY_RISK))
    release, approval_request = world.submitted(risk=risk)
    assert [row["role"] for row in approval_request.rules] == roles
    for name in ("committee_a", "committee_b"):
        with world.acting_as(name):
            decide.approve(approval_request.pk, digest=approval_request.digest)
    assert world.fresh(release).state == ("approved" if risk == "low" else "in_review")
    if risk == "high":
        with world.acting_as("tester"):
            decide.approve(approval_request.pk, digest=approval_request.digest)
        assert world.fresh(release).state == "approved"


def test_the_most_demanding_rule_of_a_role_and_stage_counts() -> None:
    content = procedure(rule("committee", 1), rule("committee", 1, number=3, when=HIGH))
    production = content.environments[2]
    numbers = {risk: content.rules_for("regular", production, risk=risk)[0]["number"] for risk in ("low", "high", "")}
    assert numbers == {"low": 1, "high": 3, "": 3}


def test_gates_steps_and_milestones_follow_the_risk_class(world: Any) -> None:
    raw = default().model_dump(mode="json")
    gates = [row | ({"when": HIGH} if row["key"] == "coverage" else {}) for row in raw["gates"]]
    gates = [
        row | ({"tiers": [], "environments": ["staging"]} if row["key"] == "security_scan" else {}) for row in gates
    ]
    steps = [row | ({"when": HIGH} if row["type"] == "maintenance_mode" else {}) for row in raw["plans"]["deployment"]]
    milestones = [raw["milestones"][0] | {"when": HIGH}, *raw["milestones"][1:]]
    plans = raw["plans"] | {"deployment": steps}
    in_effect(world, procedure(gates=gates, plans=plans, milestones=milestones), office="")
    found = {}
    for version, risk in (("1.3.0", "low"), ("1.4.0", "high")):
        release = world.planned(version)
        with world.acting_as("manager"):
            edit(release.pk, fields={"risk": risk})
            lock_scope(release.pk)
        release = world.fresh(release)
        asked = {p.slug: {gate.key for gate in Known(release).asked(p)} for p in world.environments.values()}
        assert "security_scan" in asked["staging"] and "security_scan" not in asked["production"]
        found[risk] = (
            "coverage" in asked["production"],
            any(step["step_type"] == "maintenance_mode" for step in release.step_plan["deployment"]),
            release.milestones.filter(key=milestones[0]["key"]).exists(),
        )
    assert found == {"low": (False, False, False), "high": (True, True, True)}


VETO = (
    rule("committee", 1, number=2, decisions=["approve", "send_back"]),
    rule("risk_office", 1, number=0, decisions=["reject"]),
)


def test_a_veto_rejects_at_any_stage_and_never_approves(world: Any) -> None:
    in_effect(world, procedure(*VETO))
    release, approval_request = world.submitted()
    with world.acting_as("tester"), pytest.raises(NotPermitted, match="does not let your role decide so"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    with world.acting_as("committee_a"), pytest.raises(NotPermitted, match="does not let your role decide so"):
        decide.reject(approval_request.pk, digest=approval_request.digest, comment="no")
    with world.acting_as("tester"):
        decide.reject(approval_request.pk, digest=approval_request.digest, comment="too risky")
    assert world.fresh(release).state == "rejected"


def test_without_the_veto_the_committee_approves(world: Any, browsers: Any) -> None:
    in_effect(world, procedure(*VETO))
    release, approval_request = world.submitted()
    page = f"/admin/approval-request/{approval_request.pk}/"
    shown = {name: browsers(name).get(page).content.decode() for name in ("tester", "committee_a")}
    for name, verbs in {"tester": {"reject"}, "committee_a": {"approve", "send_back"}}.items():
        offered = {verb for verb in ("approve", "send_back", "reject") if f"operation/approval/{verb}/" in shown[name]}
        assert offered == verbs, name
    for name in ("committee_a", "committee_b"):
        with world.acting_as(name):
            decide.approve(approval_request.pk, digest=approval_request.digest)
    assert Release.objects.get(pk=release.pk).state == "approved"


def test_a_rule_of_one_environment_replaces_those_of_its_tier() -> None:
    own = rule("risk_office", 1, environment="production") | {"subject": "extra_window", "tier": ""}
    raw = default().model_dump(mode="json")
    content = procedure(approval_rules=[*raw["approval_rules"], own])
    roles = {
        place.key: [row["role"] for row in content.rules_for("extra_window", place)] for place in content.environments
    }
    assert roles == {"development": ["none"], "staging": ["none"], "production": ["risk_office"]}
