"""Each example procedure is put into effect in an empty system, and a release is played under it and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from releases.procedures.load import DEFAULT

from .playing import Player, loaded

EXAMPLES = Path(DEFAULT).parent / "examples"
FOLDERS = [DEFAULT, *sorted(folder for folder in EXAMPLES.iterdir() if folder.is_dir())]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_release_goes_into_production_and_back(
    folder: Path, empty_database: str, sample_repository: Any, tmp_path: Path
) -> None:
    player = Player(loaded(folder), sample_repository, tmp_path)
    assert player.play(risk="high").state == "rolled_back"


def test_the_bank_approves_in_three_stages_for_both_centres(
    empty_database: str, sample_repository: Any, tmp_path: Path
) -> None:
    player = Player(loaded(EXAMPLES / "bank"), sample_repository, tmp_path)
    release = player.play(risk="high", back=False)
    assert release.state == "completed"
    approval_request = release.approval_requests.get()
    asked = [(row["stage"], row["role"], row["number"]) for row in approval_request.rules]
    assert asked == [(1, "line_manager", 1), (2, "risk_office", 1), (3, "cab", 3), (3, "cab_chair", 0)]
    assert [d.account.username.rpartition("_")[0] for d in approval_request.decisions.all()] == [
        "line_manager",
        "risk_office",
        *["cab"] * 3,
    ]
    reached = release.deployments.order_by("pk").values_list("environment__slug", "state")
    assert list(reached) == [(place, "succeeded") for place in ("sit", "uat", "preprod", "centre_a", "centre_b")]
