"""Version tags in a repository become past releases, once each, with their dates and changes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.models import Event
from audit.refusals import InvalidInput, NotPermitted
from environments.models import Application
from releases.models import ChangeEntry, Release
from releases.operations.release.import_tags import MOST_CHANGES, Imported, look, record
from releases.operations.release.plan import plan
from releases.operations.release.prepare import cancel
from releases.sources.git import SourceUnavailable
from tests.releases.gates.asking import alter, mark_deployed
from tests.releases.sources.repositories import history

TAGS: dict[str, tuple[int, str | None]] = {
    "v1.0.0": (2, "1.0.0 (2017-07-14)\n\n- the first version\n- fix: a wrong sum\n"),
    "v1.10.0": (7, None),
    "v1.9.0": (5, "1.9.0\n"),
    "v2.0.0-rc.1": (8, None),
    "v1.2": (3, None),
    "nightly": (4, None),
    "ckan-1.5.0": (4, None),
    "ckan-1.9.0": (5, None),
}


def import_tags(application_id: int, *, patterns: Sequence[str] = (), reason: str = "") -> Imported:
    """Read the tags and make them past releases, as the worker does."""
    application = Application.objects.get(pk=application_id)
    wanted = patterns or [application.tag_format]
    return record(application, wanted, *look(application, wanted), reason=reason)


@pytest.fixture
def old(world: Any, tmp_path: Path) -> Any:
    """An application whose repository has past versions."""
    world.application = alter(world.application, repository=str(history(tmp_path / "old.git", 9, TAGS)))
    return world


def test_tags_become_past_releases_with_dates_and_changes(old: Any) -> None:
    with old.acting_as("manager"):
        done = import_tags(old.application.pk)
    assert done.made == ("1.0.0", "1.9.0", "1.10.0", "2.0.0-rc.1")
    rows = {row.version: row for row in Release.objects.all()}
    first = rows["1.0.0"]
    assert {row.state for row in rows.values()} == {"imported"}
    assert (first.tag, first.title) == ("v1.0.0", "1.0.0 of 2017-07-14")
    assert first.reason == "This release was imported from the tag v1.0.0 of 2017-07-14T13:41+09:00."
    assert len(first.commit) == len(first.tree) == len(first.tag_object) == 40 and first.tag_object != first.commit
    assert [(c.kind, c.text) for c in first.changes.all()] == [
        ("small", "the first version"),
        ("fix", "fix: a wrong sum"),
    ]
    assert [c.text for c in rows["1.9.0"].changes.all()] == ["feat: change 5", "feat: change 4", "fix: change 3"]
    assert [c.kind for c in rows["1.10.0"].changes.all()] == ["feature", "fix"]
    assert (rows["2.0.0-rc.1"].kind, first.kind) == ("pre_release", "regular")
    assert [row.state for row in first.history.all()] == ["imported", "draft"], "each a row with history"


def test_a_tag_without_version_is_listed_with_the_reason(old: Any) -> None:
    with old.acting_as("manager"):
        done = import_tags(old.application.pk, patterns=["ckan-{version}", "v{version}"])
    assert "1.5.0" in done.made and Release.objects.get(version="1.9.0").tag == "ckan-1.9.0"
    assert dict(done.skipped) == {
        "nightly": "The tag fits none of the patterns ckan-{version}, v{version}.",
        "v1.2": "“1.2” is not a semantic version such as 1.2.3 or 1.2.3-beta.1.",
        "v1.9.0": "ckan-1.9.0 names the same version.",
    }


def test_the_event_names_the_counts(old: Any) -> None:
    with old.acting_as("manager"):
        import_tags(old.application.pk, reason="from the old system")
        import_tags(old.application.pk)
    events = Event.objects.filter(operation="release:read_tags", kind="operation").order_by("at")
    details = [row.contents["after"] for row in events]
    assert [(d["imported"], d["known"], d["skipped"]) for d in details] == [(4, 0, 4), (0, 4, 4)]
    assert details[0]["versions"] == ["1.0.0", "2.0.0-rc.1"] and "v1.2" in dict(details[0]["skipped_tags"])


def test_a_version_is_imported_only_once(old: Any) -> None:
    with old.acting_as("manager"):
        first = import_tags(old.application.pk)
        second = import_tags(old.application.pk)
    assert second.made == () and second.known == first.made
    assert Release.objects.count() == 4 and ChangeEntry.objects.count() == 8


def test_two_concurrent_imports_import_once(old: Any) -> None:
    outcomes: list[Any] = []

    def import_once() -> None:
        try:
            with old.acting_as("manager"):
                outcomes.append(import_tags(old.application.pk))
        except Exception as fault:
            outcomes.append(fault)
        finally:
            connection.close()

    threads = [threading.Thread(target=import_once) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(done.made) for done in outcomes) == [0, 0, 0, 4], outcomes


def test_a_version_known_in_any_state_stays_unchanged(old: Any) -> None:
    with old.acting_as("manager"):
        planned = plan(application_id=old.application.pk, version="1.10.0", title="x")
        given_up = plan(application_id=old.application.pk, version="1.9.0", title="x")
        cancel(given_up.pk, reason="no")
        done = import_tags(old.application.pk)
    assert done.known == ("1.9.0", "1.10.0") and done.made == ("1.0.0", "2.0.0-rc.1")
    assert (old.fresh(planned).state, old.fresh(given_up).state) == ("draft", "cancelled")


def test_a_version_above_the_deployed_one_is_still_to_be_planned(world: Any) -> None:
    mark_deployed(world, "1.2.0")
    with world.acting_as("manager"):
        done = import_tags(world.application.pk)
    assert done.known == ("1.2.0",) and done.made == ()
    assert {tag for tag, _why in done.skipped} == {"v1.3.0-beta.1", "v1.3.0", "v1.4.0"}
    assert (
        dict(done.skipped)["v1.3.0"] == "This version is newer than the deployed version 1.2.0. Plan a release instead."
    )


@pytest.mark.parametrize("name", ["developer", "operator", "committee_a", "auditor", "outsider", "ci"])
def test_other_roles_may_not_import(old: Any, name: str) -> None:
    with old.acting_as(name), pytest.raises(NotPermitted):
        import_tags(old.application.pk)
    assert not Release.objects.exists()
    assert Event.objects.filter(operation="release:read_tags", outcome="refused").count() == 1


def test_a_wrong_pattern_or_a_missing_repository_imports_nothing(old: Any, tmp_path: Path) -> None:
    with old.acting_as("manager"):
        for pattern in ("v", "{version}-{version}"):
            with pytest.raises(InvalidInput, match="is not a pattern"):
                import_tags(old.application.pk, patterns=[pattern])
        alter(old.application, repository=str(tmp_path / "absent"))
    with old.acting_as("manager"), pytest.raises(SourceUnavailable, match="no repository"):
        import_tags(old.application.pk)
    assert not Release.objects.exists()


def test_many_and_long_changes_are_cut_and_counted(world: Any, tmp_path: Path) -> None:
    tags = {"v1.0.0": (99, None), "v1.1.0": (100, "1.1.0\n\n- " + "long " * 100)}
    world.application = alter(world.application, repository=str(history(tmp_path / "old.git", 100, tags)))
    with world.acting_as("manager"):
        import_tags(world.application.pk)
    texts = [c.text for c in Release.objects.get(version="1.0.0").changes.all()]
    assert len(texts) == MOST_CHANGES + 1 and texts[-1] == f"and {99 - MOST_CHANGES} more, listed in the repository"
    (long,) = Release.objects.get(version="1.1.0").changes.all()
    assert len(long.text) == 300 and long.text.endswith("…")


def test_four_hundred_tags_and_thirty_thousand_commits_take_few_statements(world: Any, tmp_path: Path) -> None:
    tags = {f"v{n // 20}.{n % 20}.0": (75 * (n + 1), None if n % 2 else f"{n // 20}.{n % 20}.0\n") for n in range(400)}
    application = alter(world.application, repository=str(history(tmp_path / "big.git", 30_000, tags)))
    with world.acting_as("manager"), CaptureQueriesContext(connection) as statements:
        done = import_tags(application.pk)
    assert len(statements) < 10 * len(tags)
    assert (len(done.made), done.skipped) == (400, ())
    assert Release.objects.filter(state="imported").count() == 400
    assert ChangeEntry.objects.filter(release__version="19.19.0").count() == MOST_CHANGES + 1
    rows = Event.objects.filter(operation="release:read_tags", kind="row", object__startswith="releases.ChangeEntry:")
    assert rows.count() == ChangeEntry.objects.count() == 400 * (MOST_CHANGES + 1), (
        "every change is an event of its own"
    )
