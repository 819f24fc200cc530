"""What nothing would ask for, and what no one could do, is refused where it stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from releases.procedures.document import Procedure, ProcedureFaults
from releases.procedures.load import DEFAULT, default, read

Raw = dict[str, Any]


def bank() -> Raw:
    """An example with an emergency, a standard change and a freeze, as plain values."""
    return read(DEFAULT.parent / "examples" / "bank").model_dump(mode="json")


def places(raw: Raw) -> set[str]:
    """Return the places of all faults."""
    try:
        Procedure.checked(raw)
    except ProcedureFaults as found:
        return {fault.place for fault in found.faults}
    return set()


def without_gate(raw: Raw, *kinds: str) -> None:
    raw["gates"] = [gate for gate in raw["gates"] if gate["type"] not in kinds and gate["evidence"] not in kinds]


def of_role(raw: Raw, role: str, **fields: str) -> None:
    next(row for row in raw["roles"] if row["key"] == role).update(fields)


def level(raw: Raw, environment: str, wanted: str) -> None:
    """Give each role of people that works there this level."""
    for row in raw["access"]:
        if row["environment"] == environment and row["level"] in ("full", "operate"):
            row["level"] = wanted


CASES: list[tuple[str, Callable[[Raw], Any]]] = [
    ("roles", lambda raw: of_role(raw, "release_manager", key="boss", based_on="developer")),
    ("environments[4]", lambda raw: level(raw, "centre_b", "full")),
    ("environments[4]", lambda raw: level(raw, "centre_b", "limited")),
    ("schedule.regular.country", lambda raw: raw["schedule"]["regular"].update(country="XX")),
    ("checklist", lambda raw: without_gate(raw, "checklist")),
    ("testing.matrix[0].required", lambda raw: without_gate(raw, "junit")),
    ("final_check.items", lambda raw: raw["final_check"].update(signers=[])),
    ("gates[0].when.kind", lambda raw: (raw["schedule"].pop("emergency"), raw["gates"][0].update(when=URGENT))),
    ("approval_rules[1].when.kind", lambda raw: raw["approval_rules"][1]["when"].update(URGENT)),
    ("gates[0].roles[0]", lambda raw: raw["gates"][0].update(type="attestation", subject="x", roles=["auditor"])),
]
URGENT = {"kind": ["emergency"]}


@pytest.mark.parametrize(("place", "change"), CASES, ids=[place for place, _change in CASES])
def test_a_part_without_an_effect_is_refused(place: str, change: Callable[[Raw], Any]) -> None:
    raw = bank()
    assert not places(raw)
    change(raw)
    assert place in places(raw)


def test_only_service_accounts_may_deploy_where_nothing_is_protected() -> None:
    raw = bank()
    level(raw, "sit", "none")
    assert not places(raw)


def test_signatures_of_a_document_that_no_gate_asks_for_are_refused() -> None:
    raw = read(DEFAULT.parent / "examples" / "medical").model_dump(mode="json")
    without_gate(raw, "document")
    assert "documents[1].signatures" in places(raw)


def test_a_reminder_at_an_hour_that_never_comes_is_refused() -> None:
    raw = default().model_dump(mode="json")
    rule = next(row for row in raw["notification_rules"] if row["event"] == "milestone:remind")
    rule["lead_hours"] = [0, 24, 48]
    number = raw["notification_rules"].index(rule)
    assert places(raw) == {f"notification_rules[{number}].lead_hours[2]"}


def test_a_late_rollback_has_the_rules_of_the_type_of_release() -> None:
    raw = bank()
    late = {"subject": "late_rollback", "tier": "production", "stage": 1, "number": 1}
    raw["approval_rules"].append({**late, "role": "risk_office", "when": URGENT})
    content = Procedure.checked(raw)
    centre = next(place for place in content.environments if place.tier == "production")

    def asked(kind: str) -> set[str]:
        return {row["role"] for row in content.rules_for("late_rollback", centre, kind=kind, risk="low")}

    assert (asked("regular"), asked("emergency")) == ({"cab"}, {"cab", "risk_office"})
