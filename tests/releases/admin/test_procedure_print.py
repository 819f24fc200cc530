"""The printed procedure says what the numbers say, also where they are not those of the default one."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation

from releases.admin.pages.procedure.document import Block, chapters
from releases.procedures.document import Procedure
from releases.procedures.load import default


def printed(raw: dict[str, Any], language: str) -> dict[str, Block]:
    """Return the blocks of a procedure by their titles."""
    with translation.override(language):
        return {block.title: block for chapter in chapters(Procedure.checked(raw)) for block in chapter.blocks}


@pytest.mark.usefixtures("database")
def test_another_organisations_numbers_are_printed() -> None:
    raw = default().model_dump(mode="json")
    raw["schedule"]["regular"].update(day_offset=1, on_holiday="earlier")
    raw["milestones"][0].update(days_before=30, unit="working_days", when={"kind": ["regular"]})
    raw["milestones"][1]["when"] = {"kind": ["emergency"]}
    raw["final_check"]["when"] = {"risk": ["high"]}
    number = next(n for n, gate in enumerate(raw["gates"]) if gate["evidence"] == "coverage")
    raw["gates"][number].update(threshold="", default_fields=[])
    english, japanese = printed(raw, "en"), printed(raw, "ja")
    window = "each month: third Wednesday (the day after) · 01:00–05:00 · Asia/Tokyo · on a holiday (JP): "
    assert english["Regular release"].items == [window + "moved to the working day before"]
    assert "毎月第3水曜日（翌日）" in japanese["定例リリース"].items[0]
    rows = english["Preparation timeline"].rows
    assert [row[1:] for row in rows[:2]] == [("T-30 (working days)", ""), ("", "T-3 h")]
    final = english["Final check (risk class: High)"]
    assert final.items[0] == "roles: Release manager, Operator"
    limits = {row[0].removesuffix(" *"): row[2] for row in english["Gates"].rows}
    assert limits[raw["gates"][number]["en"]].endswith("0.90")


@pytest.mark.usefixtures("database")
def test_who_attests_who_signs_and_how_far_apart_environments_start_is_printed() -> None:
    raw = default().model_dump(mode="json")
    number = next(n for n, row in enumerate(raw["environments"]) if row["key"] == "production")
    second = raw["environments"][number] | {"key": "second", "name_en": "Second site", "order": 9, "after_hours": 48}
    raw["environments"].append(second)
    raw["access"] += [row | {"environment": "second"} for row in raw["access"] if row["environment"] == "production"]
    accepted = next(row for row in raw["accepted_branches"] if row["environment"] == "production")
    raw["accepted_branches"].append(accepted | {"environment": "second"})
    words = {"ja": "個人情報", "en": "Personal data", "tiers": ["production"], "origin": "written"}
    gate = {"key": "privacy", "type": "attestation", "subject": "privacy", "roles": ["release_manager"]}
    raw["gates"].append(gate | words)
    report = next(row for row in raw["rollback"]["documents"] if row["key"] == "report")
    report["signatures"] = [{"state": "approved", "role": "release_manager", "ja": "了承", "en": "Seen"}]
    english = printed(raw, "en")
    assert "Second site (48 h after the environment before it)" in [row[0] for row in english["Environments"].rows]
    assert "Personal data (roles: Release manager)" in [row[0] for row in english["Gates"].rows]
    assert any(item.endswith("→ Seen (Release manager)") for item in english["Documents"].items)
