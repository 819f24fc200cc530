"""Past releases are imported in the background: read, confirmed by a person, imported in batches with progress."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import django_rq
import pytest

from audit.clock import now
from audit.models import Event
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from releases.jobs import import_past_releases
from releases.models import Release, ReleaseImport
from releases.operations.release import import_past
from tests.releases.gates.asking import alter, git
from tests.releases.sources.repositories import history


@pytest.fixture
def old(world: Any, tmp_path: Path) -> Any:
    """An application whose repository has sixty versions."""
    tags: dict[str, tuple[int, str | None]] = {f"v1.{n}.0": (n + 1, None) for n in range(60)}
    tags["nightly"] = (3, None)
    world.application = alter(world.application, repository=str(history(tmp_path / "old.git", 61, tags)))
    return world


def asked(world: Any) -> ReleaseImport:
    """An import that a worker has read."""
    with world.acting_as("manager"):
        row = import_past.request(world.application.pk, reason="from the old system")
    import_past_releases(row.pk)
    return world.fresh(row)


def test_read_versions_are_shown_and_imported_only_once_confirmed(old: Any) -> None:
    row = asked(old)
    assert (row.stage, row.total, row.done) == ("ready", 60, 0) and not Release.objects.exists()
    assert row.found["new"][0][:2] == ["1.0.0", row.found["new"][0][1]] and row.found["skipped"][0][0] == "nightly"
    with old.acting_as("manager"):
        import_past.confirm(row.pk)
    import_past_releases(row.pk)
    row = old.fresh(row)
    assert (row.stage, row.done, row.failure) == ("done", 60, "")
    assert Release.objects.filter(state="imported").count() == 60
    events = Event.objects.filter(operation="release:read_tags", kind="operation").order_by("at")
    counts = [event.contents["after"].get("imported") for event in events]
    assert counts == [None, 25, 25, 10], "the request and an act for each batch"
    assert all("manager" in event.actor.lower() for event in events), "as the person who asked"
    import_past_releases(row.pk)
    assert Release.objects.count() == 60
    with old.acting_as("manager"), pytest.raises(NotPossible, match="nothing to confirm: its state is “done”"):
        import_past.confirm(row.pk)


def test_an_interrupted_import_continues_and_makes_no_duplicate(old: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    row = asked(old)
    with old.acting_as("manager"):
        import_past.confirm(row.pk)
    record, calls = import_past.record, list[int]()

    def crash(*given: Any, **rest: Any) -> Any:
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        return record(*given, **rest)

    monkeypatch.setattr(import_past, "record", crash)
    with pytest.raises(KeyboardInterrupt):
        import_past_releases(row.pk)
    monkeypatch.undo()
    assert (old.fresh(row).done, Release.objects.count()) == (25, 25), "the page says how far it is"
    queue = django_rq.get_queue(import_past.QUEUE)
    queue.empty()
    import_past.wake_left(now())
    assert not queue.jobs, "a worker may still be at it"
    import_past.wake_left(now() + timedelta(minutes=6))
    assert [job.kwargs for job in queue.jobs] == [{"import_id": row.pk}]
    import_past_releases(row.pk)
    assert (old.fresh(row).stage, Release.objects.count()) == ("done", 60)


def test_only_the_shown_versions_are_imported(old: Any) -> None:
    row = asked(old)
    repository = Path(old.application.repository)
    git(repository, "tag", "-f", "v1.0.0", "v1.5.0")
    git(repository, "tag", "v2.0.0", "v1.5.0")
    with old.acting_as("manager"):
        import_past.confirm(row.pk)
    import_past_releases(row.pk)
    row = old.fresh(row)
    assert (row.stage, row.done) == ("done", 59) and "1 tags were moved or deleted" in row.failure
    assert not Release.objects.filter(version__in=["1.0.0", "2.0.0"]).exists()


def test_an_unreadable_or_forbidden_import_ends_with_its_reason(old: Any, tmp_path: Path) -> None:
    with old.acting_as("manager"), pytest.raises(InvalidInput, match="is not a pattern"):
        import_past.request(old.application.pk, patterns=["v"])
    with old.acting_as("developer"), pytest.raises(NotPermitted):
        import_past.request(old.application.pk)
    assert not ReleaseImport.objects.exists()
    row = asked(old)
    with old.acting_as("developer"), pytest.raises(NotPermitted):
        import_past.confirm(row.pk)
    with old.acting_as("manager"):
        import_past.confirm(row.pk)
    alter(old.application, repository=str(tmp_path / "absent"))
    import_past_releases(row.pk)
    row = old.fresh(row)
    assert row.stage == "failed" and "no repository" in row.failure and not Release.objects.exists()


def test_the_import_page_shows_the_versions_and_polls_the_progress(old: Any, browsers: Any) -> None:
    client = browsers("manager")
    address = f"/admin/operation/release/read_tags/{old.application.pk}/"
    answer = client.post(address, {"patterns": "v{version}", "reason": "x"})
    row = ReleaseImport.objects.get()
    assert answer["location"] == f"/admin/import/{row.pk}/"
    page = client.get(answer["location"]).content.decode()
    assert f'data-log="/admin/import/{row.pk}/progress/"' in page and 'data-live-state="reading"' in page
    import_past_releases(row.pk)
    seen = client.get(f"/admin/import/{row.pk}/progress/?after=0").json()
    assert (seen["run"], seen["after"]) == ("ready", 0)
    page = client.get(answer["location"], headers={"accept-language": "ja"}).content.decode()
    assert (
        "1.59.0" not in page
        and "nightly" in page
        and f"/admin/operation/release/import_past_releases/{row.pk}/" in page
    )
    client.post(f"/admin/operation/release/import_past_releases/{row.pk}/", {})
    import_past_releases(row.pk)
    assert "60" in client.get(answer["location"]).content.decode()
    assert Release.objects.count() == 60
