"""Random procedures: one that loads is one under which a release comes into production and out of it again."""

from __future__ import annotations

import copy
import os
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from hypothesis.strategies import DrawFn

from releases.procedures.document import Procedure, ProcedureFaults
from releases.procedures.load import DEFAULT
from tests.conftest import EMPTY, cloned

from .playing import EACH, Player, loaded

EXAMPLES = int(os.environ.get("RINGI_TEST_EXAMPLES", "4"))  # make chaos asks for 100
SMALL = tomllib.loads((DEFAULT.parent / "examples" / "small_team" / "procedure.toml").read_text("utf-8"))
OWN = {"board": "committee", "line": "project_manager", "tester": "tester", "developer": "developer"}
RISKS = ("low", "medium", "high")
NOBODY = {"subject": "standard", "stage": 0, "role": "none", "number": 0, "tier": "production"}
STATES = ("content_checked", "approved", "ready_to_publish")
CONDITIONS = st.one_of(
    st.none(),
    st.lists(st.sampled_from(RISKS), min_size=1, max_size=2, unique=True).map(lambda risk: {"risk": risk}),
    st.just({"kind": ["regular"]}),
)


def row(**fields: Any) -> dict[str, Any]:
    """A row without what is None."""
    return {name: value for name, value in fields.items() if value is not None}


@st.composite
def places(draw: DrawFn) -> list[dict[str, Any]]:
    """One to three environments before production, and one to three of production."""
    before, production = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    keys = [(f"try_{n}", "staging") for n in range(before)] + [(f"live_{n}", "production") for n in range(production)]
    if draw(st.booleans()):
        keys[0] = (keys[0][0], "development")
    return [
        {"key": key, "name": key, "en": key, "tier": tier, "order": order, "zone": "Europe/Berlin"}
        | {"protected": tier == "production"}
        for order, (key, tier) in enumerate(keys, 1)
    ]


@st.composite
def rules(draw: DrawFn, where: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Approval rules in one to three stages, with conditions, limits and a veto, beside those that must be there."""
    kept = [r for r in SMALL["approval_rules"] if r["subject"] in ("procedure", "emergency_stop_lift")]
    tiers = {place["tier"] for place in where}
    for subject in ("extra_window", "late_rollback"):
        asked = {"subject": subject, "tier": "production", "stage": 1, "role": "engineer", "number": 1}
        kept += [asked]
        kept += [asked | {"tier": t, "stage": 0, "role": "none", "number": 0} for t in tiers - {"production"}]
    approvers = [*OWN, "engineer"]
    found = [row(subject="regular", tier="production", stage=1, role=draw(st.sampled_from(approvers)), number=1)]
    left = dict.fromkeys(approvers, EACH - 1)  # no more than there are, one of whom may be the author
    left[found[0]["role"]] -= 1
    for stage in range(1, draw(st.integers(1, 3)) + 1):
        for role in draw(st.lists(st.sampled_from(approvers), min_size=1, max_size=2, unique=True)):
            number = draw(st.integers(1, 2))
            if left[role] < number:
                role = max(left, key=lambda key: left[key])
            left[role] -= number
            found.append(
                row(
                    subject="regular",
                    tier="production",
                    stage=stage,
                    role=role,
                    number=number,
                    when=draw(CONDITIONS),
                    decisions=draw(st.sampled_from([None, ["approve"], ["approve", "send_back"]])),
                )
            )
    if draw(st.booleans()):
        found.append(row(subject="regular", tier="production", stage=1, role="board", number=0, decisions=["reject"]))
    return kept + list({(r["stage"], r["role"], r.get("when") is None): r for r in found}.values())


@st.composite
def gates(draw: DrawFn, where: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The gates that production needs, and others in single environments and for single risk classes."""
    fixed = [r for r in SMALL["gates"] if r["key"] in ("approval", "change_window", "change_freeze", "promotion")]
    fixed = [r | {"tiers": ["production"]} for r in fixed]
    keys = [place["key"] for place in where]
    for kind in draw(st.lists(st.sampled_from(("review", "coverage", "junit")), unique=True)):
        later = keys[1:] if kind == "junit" else keys
        chosen = draw(st.lists(st.sampled_from(later), min_size=1, unique=True))
        fixed.append(
            row(key=kind, en=kind, type="evidence", evidence=kind, environments=chosen, when=draw(CONDITIONS), tiers=[])
        )
    for kind in draw(
        st.lists(
            st.sampled_from(("checklist", "document", "release_team", "tag", "milestone", "follow_up")), unique=True
        )
    ):
        fixed.append(row(key=kind, en=kind, type=kind, tiers=["production"], when=draw(CONDITIONS)))
    if draw(st.booleans()):
        roles = draw(st.sampled_from([None, ["tester"], ["board", "ci"]]))
        chosen = draw(st.lists(st.sampled_from(keys), min_size=1, unique=True))
        fixed.append(row(key="stated", en="Stated", type="attestation", subject="x", roles=roles, environments=chosen))
    return fixed


@st.composite
def documents(draw: DrawFn) -> list[dict[str, Any]]:
    """A document of the organisation's own, with signatures of its own or none."""
    signers = draw(st.lists(st.sampled_from(["author", "engineer", *OWN]), max_size=3, unique=True))
    places = sorted(draw(st.sampled_from(STATES[:2])) for _signer in signers)[::-1]
    signed = [{"state": place, "role": role, "en": role} for place, role in zip(places, signers, strict=True)]
    text = draw(st.sampled_from([None, "Result:"]))
    return [row(key="validation", en="Validation", template=text, signatures=signed or None)]


@st.composite
def procedures(draw: DrawFn) -> dict[str, Any]:
    """A procedure document of which each part may be there or not."""
    raw = copy.deepcopy(SMALL)
    where = raw["environments"] = draw(places())
    raw["roles"] += [{"key": key, "based_on": shipped, "account": "person", "en": key} for key, shipped in OWN.items()]
    levels = {"lead": "full", "engineer": "operate", "ci": "ci_automatic", "developer": "read_only"}
    raw["access"] = [
        {"role": role, "environment": place["key"], "level": level, "en": level}
        for role, level in levels.items()
        for place in where
    ]
    raw["accepted_branches"] = [{"environment": place["key"], "patterns": ["*", "*/*"]} for place in where]
    raw["testing"]["environments"][0]["environment"] = where[0]["key"]
    raw["approval_rules"], raw["gates"] = draw(rules(where)), draw(gates(where))
    raw["testing"]["matrix"][0]["required"] = any(gate.get("evidence") == "junit" for gate in raw["gates"])
    if draw(st.booleans()):
        days = sorted(draw(st.sets(st.integers(1, 20), max_size=4)), reverse=True)
        guards = ("lock_scope", "complete_testing", "mark_approved", "complete_final_check")
        raw["milestones"] = [
            row(key=f"m_{n}", en=f"T-{day}", days_before=day, guards=guard, when=draw(CONDITIONS))
            for n, (day, guard) in enumerate(zip(days, guards, strict=False))
        ] + [{"key": "start", "en": "T-0", "days_before": 0, "guards": "start"}]
    if draw(st.booleans()):
        raw["final_check"] = {"signers": draw(st.sampled_from([["lead"], ["lead", "engineer"], ["board"]]))}
    kinds = {gate["type"] for gate in raw["gates"]}
    if "checklist" in kinds:
        raw["checklist"] = [{"key": "read", "en": "Read", "group": "technical"}]
    if "document" in kinds:
        raw["documents"] = [{"key": "changelog", "en": "Changelog"}, *draw(documents())]
    if draw(st.booleans()):
        raw["document_states"] = [{"key": key, "en": key} for key in STATES if draw(st.booleans())]
    if draw(st.booleans()):
        raw["plans"]["deployment"][1]["when"] = {"risk": [draw(st.sampled_from(RISKS))]}
    if draw(st.booleans()):
        raw["schedule"]["emergency"] = {"criteria": [{"key": "down", "en": "It is down"}], "validity_hours": 8}
        hours = [{"key": one["key"], "hours_before": n} for n, one in enumerate(raw.get("milestones", ())[::-1])]
        raw["schedule"]["emergency"] |= {"approval": {"en": "One engineer"}, "milestones": hours[::-1]}
        asked = {"subject": "emergency", "stage": 1, "role": "engineer", "number": 1, "tier": "production"}
        raw["approval_rules"].append(asked)
        for accepted in raw["accepted_branches"]:
            accepted["emergency_patterns"] = ["release/*"]
    if draw(st.booleans()):
        raw["schedule"]["standard"] = {"changes": [{"key": "texts", "en": "Texts", "per_week": 9}]}
        raw["approval_rules"].append(NOBODY)
    return raw


@pytest.mark.timeout(120 + 90 * EXAMPLES)
def test_each_procedure_that_loads_lets_a_release_through(
    template_database: str, django_db_blocker: Any, sample_repository: Any
) -> None:
    played = []

    # Not shrunk: each try takes seconds, and the failure says at which stage of which document.
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
        database=None,
        print_blob=True,
    )
    @given(procedures(), st.sampled_from(RISKS), st.sampled_from(["regular", "emergency", "standard"]))
    def play(raw: dict[str, Any], risk: str, kind: str) -> None:
        try:
            Procedure.checked(raw)
        except ProcedureFaults:
            return
        with tempfile.TemporaryDirectory() as name, cloned(EMPTY, django_db_blocker):
            folder = Path(name)
            (folder / "own").mkdir()
            (folder / "own" / "procedure.toml").write_text(tomli_w.dumps(raw), "utf-8")
            player = Player(loaded(folder / "own"), sample_repository, folder / "targets")
            kinds = {"regular": "", "emergency": "down", "standard": "texts"}
            chosen = kind if kind == "regular" or kind in raw["schedule"] else "regular"
            assert player.play(risk=risk, kind=chosen, criterion=kinds[chosen]).state == "rolled_back"
        played.append(chosen)

    play()
    assert len(played) >= EXAMPLES // 2, "too few of the documents that were made load"
