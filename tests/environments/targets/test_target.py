"""Lock, journal, configuration file and digests of a target."""

from __future__ import annotations

import json
import stat
from dataclasses import replace

import pytest

from environments.targets import target as target_module
from environments.targets.base import Fenced, ForgottenAttempt, StepFailed
from environments.targets.measured import Measured, measure
from environments.targets.target import (
    Layout,
    filled,
    holding,
    journal,
    journal_lines,
    render_configuration,
    tree_digest,
)
from tests.releases.step_types.conftest import Target, git


def test_a_higher_fencing_token_refuses_lower_ones_for_good(target: Target) -> None:
    with holding(target.context("1/1/x", fencing_token=3)):
        pass
    with holding(target.context("1/2/x", fencing_token=1)):
        pass
    with pytest.raises(Fenced), holding(target.context("1/1/x", fencing_token=2)):
        pass
    with holding(target.context("1/1/x", fencing_token=3)):
        record = json.loads(Layout(target.spec.root).lock_record.read_text())
    assert record["deployment"] == "deployment:1" and record["key"] == "1/1/x" and record["fencing_token"] == 3
    assert record["seen"] == {"1/1/x": 3, "1/2/x": 1}


def test_a_fencing_token_that_another_attempt_had_is_met_once(target: Target) -> None:
    """The attempt that meets it probes, and goes on under the same token; an attempt of its own may come again."""
    one, other = (replace(target.context("1/1/x", fencing_token=1), attempt=name) for name in ("one", "other"))
    for _again in range(2):
        with holding(one, makes=True):
            pass
    with holding(other):  # one that only looks, such as the last step at the service that an earlier one started
        pass
    with pytest.raises(ForgottenAttempt), holding(other, makes=True):
        pass
    for _again in range(2):
        with holding(other, makes=True):
            pass
    with holding(replace(one, fencing_token=2), makes=True):
        pass


def test_a_torn_journal_line_loses_no_other_line(target: Target) -> None:
    with holding(target.context()):
        journal(target.context(), "a:made", rows=1)
        path = Layout(target.spec.root).journal
        with path.open("ab") as file:
            file.write(b'{"at": "20')
        journal(target.context(), "b:made")
    assert [line["effect"] for line in journal_lines(target.spec, key="1/1/x")] == ["a:made", "b:made"]


def test_configuration_is_sorted_quoted_and_private(target: Target) -> None:
    rendered = render_configuration({"B": 'say "hi"\n$HOME', "A": "é"})
    assert rendered == 'A="é"\nB="say \\"hi\\"\\n$HOME"\n'.encode()
    with pytest.raises(StepFailed):
        render_configuration({"A B": "x"})
    target.step("configuration_update", target.context())
    path = Layout(target.spec.root).configuration
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_measured_tree_equals_gits_own(target: Target) -> None:
    for version in (target.versions.old, target.versions.new):
        target.step("code_deploy", target.context(f"1/{version.version}/x", wanted=version))
        assert measure(target.spec, {}).code == version.tree
        assert git(target.versions.path, "rev-parse", f"{version.tag}^{{tree}}") == version.tree


@pytest.mark.parametrize("change", ["content", "mode", "link", "new file", "removed"])
def test_any_change_of_an_installed_tree_changes_its_digest(target: Target, change: str) -> None:
    target.step("code_deploy", target.context())
    tree = Layout(target.spec.root).current.resolve()
    match change:
        case "content":
            (tree / "a.txt").write_bytes(b"\n\x00\xff")
        case "mode":
            (tree / "run").chmod(0o644)
        case "link":
            (tree / "link").unlink()
            (tree / "link").symlink_to("a.txt")
        case "new file":
            (tree / "a" / "new").touch()
        case "removed":
            (tree / "a-b" / "empty").unlink()
    assert tree_digest(tree) != target.versions.new.tree


def test_an_empty_target_has_an_empty_measurement(target: Target) -> None:
    assert measure(target.spec, target.configuration) == Measured("", "", "")


def test_each_digest_depends_on_its_own_part_only(target: Target) -> None:
    target.install_old()
    first = measure(target.spec, target.configuration)
    assert all((first.code, first.configuration, first.data))
    target.sql("UPDATE label SET weight = 1.501 WHERE dataset = 1")
    assert replace(measure(target.spec, target.configuration), data=first.data) == first
    target.sql("UPDATE label SET weight = 1.5 WHERE dataset = 1")
    assert measure(target.spec, target.configuration) == first
    target.sql("CREATE INDEX ON dataset (title)")
    assert measure(target.spec, target.configuration).data != first.data


def test_placeholders_are_filled_once_and_nothing_else(target: Target) -> None:
    root = target.spec.root
    assert filled(["{tree}/x", "{config}", "{other}", "{root}"], target.spec) == [
        f"{root}/current/x",
        f"{root}/shared/config.env",
        "{other}",
        str(root),
    ]


def test_the_fence_remembers_the_latest_keys(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is used again counts as late as its last use."""
    monkeypatch.setattr(target_module, "KEPT_KEYS", 3)
    for key in ("1/1/x", "1/2/x", "1/3/x", "1/1/x", "1/4/x"):
        with holding(target.context(key, fencing_token=2)):
            pass
    assert list(json.loads(Layout(target.spec.root).lock_record.read_text())["seen"]) == ["1/3/x", "1/1/x", "1/4/x"]
    with pytest.raises(Fenced), holding(target.context("1/1/x", fencing_token=1)):
        pass


def test_the_journal_is_searched_by_exact_values(target: Target) -> None:
    with holding(target.context()):
        for key, effect in (("1/1/x", "a:made"), ("11/1/x", "a:made"), ("1/1/x", "a:made:more"), ("1/1/x", "完了")):
            journal(target.context(key), effect, note="1/1/x a:made")
    assert len(journal_lines(target.spec)) == 4
    assert [line["key"] for line in journal_lines(target.spec, effect="a:made")] == ["1/1/x", "11/1/x"]
    assert len(journal_lines(target.spec, key="1/1/x", effect="a:made")) == 1
    assert len(journal_lines(target.spec, key="1/1/x", effect="完了")) == 1
