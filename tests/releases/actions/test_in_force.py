"""Adopting what already runs: measured on the target, by two people, and never after Ringi ran there."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from audit.refusals import GateClosed, Invalid, NotYou, WrongState
from releases.actions.in_force.adopt import adopt, propose
from releases.models import InForce, Release
from releases.steps.target import render_configuration


@pytest.fixture
def laid(world: Any) -> Any:
    """Lay version 1.2.0 and its configuration on production, as somebody did before Ringi came."""
    root = Path(world.targets["production"].root)
    folder = root / "releases" / "1.2.0"
    folder.mkdir(parents=True)
    archive = root / "tree.tar"
    tree = world.built.trees["v1.2.0"]
    git = ["git", f"--git-dir={world.built.path}", "archive", "--format=tar", f"--output={archive}", tree]
    subprocess.run(git, check=True)
    subprocess.run(["tar", "-xf", str(archive), "-C", str(folder)], check=True)
    archive.unlink()
    (root / "current").symlink_to(folder)
    (root / "shared").mkdir()
    configured(world).write_bytes(render_configuration(world.configurations["production"].opened()))
    return world


def configured(world: Any) -> Path:
    return Path(world.targets["production"].root) / "shared" / "config.env"


def proposed(world: Any, version: str = "1.2.0", who: str = "operator") -> InForce:
    with world.acting_as(who):
        return propose(
            world.targets["production"].pk,
            version=version,
            configuration_id=world.configurations["production"].pk,
            reason="it has run there for a year",
        )


def test_two_people_adopt_what_is_measured_there(laid: Any) -> None:
    pointer = proposed(laid)
    assert pointer.unknown, "one person's word is not enough"
    with laid.acting_as("operator"), pytest.raises(NotYou, match="second person"):
        adopt(pointer.pk)
    with laid.acting_as("second_operator"):
        adopt(pointer.pk)
        with pytest.raises(WrongState):
            adopt(pointer.pk)
    pointer = laid.fresh(pointer)
    assert (pointer.how, pointer.unknown) == ("adopted", False)
    assert (pointer.release.version, pointer.release.state) == ("1.2.0", "recorded")
    assert pointer.code == laid.built.trees["v1.2.0"]


def test_another_tree_than_the_tags_is_refused(laid: Any) -> None:
    with pytest.raises(GateClosed, match="another tree"):
        proposed(laid, "1.3.0")
    (Path(laid.targets["production"].root) / "current" / "README.md").write_text("edited by hand")
    with pytest.raises(GateClosed, match="another tree"):
        proposed(laid)
    with pytest.raises(Invalid):
        proposed(laid, "9.9.9")
    assert not InForce.objects.exists() and not Release.objects.exists()


def test_another_configuration_is_refused(laid: Any) -> None:
    configured(laid).write_text('PORT="9999"\n')
    with pytest.raises(GateClosed, match="another configuration"):
        proposed(laid)


def test_a_target_that_changed_in_between_is_refused(laid: Any) -> None:
    pointer = proposed(laid)
    (Path(laid.targets["production"].root) / "current" / "README.md").write_text("edited by hand")
    with laid.acting_as("second_operator"), pytest.raises(GateClosed, match="no longer"):
        adopt(pointer.pk)
    assert laid.fresh(pointer).unknown


def test_it_is_refused_once_ringi_ran_there(laid: Any) -> None:
    release = laid.planned()
    laid.verified_run(release, "production")
    with pytest.raises(WrongState, match="already run"):
        proposed(laid)


@pytest.mark.parametrize("name", ["manager", "developer", "committee_a", "auditor", "outsider"])
def test_others_do_not_adopt(laid: Any, name: str) -> None:
    with pytest.raises(NotYou):
        proposed(laid, who=name)
