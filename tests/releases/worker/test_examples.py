"""Each example procedure is put into effect in an empty system, and a release is played under it and back."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from audit.actor import Actor, acting
from audit.clock import now
from audit.models import Event
from audit.refusals import NotPossible
from releases.models import PollFailure
from releases.operations.release.pass_stage import pass_stage, pass_stages
from releases.procedures.load import DEFAULT
from tests.releases.gates.asking import alter

from .playing import Player, loaded

EXAMPLES = Path(DEFAULT).parent / "examples"
SCHEDULER = partial(acting, Actor(account_id=None, name="scheduler", kind="scheduler", channel="scheduler"))
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


def test_the_bank_releases_a_standard_change_that_nobody_approves(
    empty_database: str, sample_repository: Any, tmp_path: Path
) -> None:
    """Its milestones are those of every release, and it is reviewed afterwards, in each centre."""
    player = Player(loaded(EXAMPLES / "bank"), sample_repository, tmp_path)
    release = player.play(kind="standard", criterion="rates")
    assert release.state == "rolled_back"
    approval_request = release.approval_requests.get()
    assert (approval_request.subject, approval_request.decisions.count()) == ("standard", 0)
    assert [milestone.key for milestone in release.milestones.all()] == ["start"]
    assert [follow_up.key for follow_up in release.follow_ups.all()].count("standard_review") == 2


def test_the_scheduler_takes_a_release_over_the_stages_that_ask_nothing(
    empty_database: str, sample_repository: Any, tmp_path: Path
) -> None:
    player = Player(loaded(EXAMPLES / "small_team"), sample_repository, tmp_path)
    player.open_windows()
    release = player.tested(player.planned())
    approval_request = player.submitted(release)
    _scheduled()
    assert player.fresh(release).state == "in_review", "an approval is asked"
    player.decided(approval_request)
    _scheduled()
    assert player.fresh(release).state == "final_check_completed"
    last = Event.objects.filter(operation="release:pass_stage").latest("at")
    assert last.actor.startswith("scheduler:")


def test_a_milestone_that_is_past_holds_a_stage_that_asks_nothing(
    empty_database: str, sample_repository: Any, tmp_path: Path
) -> None:
    raw = tomllib.loads((EXAMPLES / "small_team" / "procedure.toml").read_text("utf-8"))
    rows = (("checked", 1, "complete_final_check"), ("start", 0, "start"))
    raw["milestones"] = [{"key": key, "en": key, "days_before": days, "guards": edge} for key, days, edge in rows]
    (tmp_path / "procedure.toml").write_text(tomli_w.dumps(raw), "utf-8")
    player = Player(loaded(tmp_path / "procedure.toml"), sample_repository, tmp_path)
    player.open_windows()
    release = player.tested(player.planned())
    player.decided(player.submitted(release))
    alter(release.milestones.get(key="checked"), due_immediately=False, due_at=now() - timedelta(hours=1))
    _scheduled()
    assert player.fresh(release).state == "approved"
    assert not PollFailure.objects.exists(), "a person is asked by the milestone, not by a failed task"


def test_a_final_check_with_signers_does_not_pass_by_itself(world: Any) -> None:
    release, _request = world.approved()
    _scheduled()
    assert world.fresh(release).state == "approved"
    with SCHEDULER(), pytest.raises(NotPossible):
        pass_stage(release.pk)


def _scheduled() -> None:
    with SCHEDULER():
        pass_stages()
