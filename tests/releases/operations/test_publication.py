"""Publication: a page with a permanent address, the published texts, and a commit where requested (P6)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from audit.actor import acting
from audit.clock import now
from audit.operation import operation
from audit.refusals import InvalidInput, NotPossible
from releases.models import Deployment, Document, Release
from releases.operations.application.set_publication import set_publication
from releases.operations.deployment.completion import complete_release
from releases.operations.document.publish import not_due, publish, publish_again
from releases.worker.poll import unpublished_documents
from tests.releases.gates.asking import COMMAND, alter, git, own_repository, walk
from tests.releases.operations.notifying import WORKER, forget, join, make_notifications, only

NOTES = "# Datasets 1.3.0\n\n- tags on datasets"


@pytest.fixture
def monitored(world: Any) -> Deployment:
    """A monitored deployment in production; its documents are ready to publish."""
    deployment: Deployment = walk(world.scheduled(), "enqueue", "start", "start_verification", "start_monitoring")
    release = alter(deployment.release, number=deployment.release.number)
    walk(release, "start", "start_monitoring")
    for document in release.documents.all():
        alter(document, body=f"{NOTES} ({document.kind})")
    forget()
    return world.fresh(deployment)


def complete(deployment: Deployment) -> Release:
    """End the monitoring with success."""
    with acting(WORKER), operation("test:complete", (Release, deployment.release_id)) as op:
        complete_release(op.get(Release), deployment)
    return Release.objects.get(pk=deployment.release_id)


def to(world: Any, branch: str, folder: str = "docs/releases") -> None:
    with world.acting_as("manager"):
        set_publication(world.application.pk, branch=branch, folder=folder, reason="asked for")


def test_a_published_document_has_a_page_with_a_permanent_address(
    world: Any, monitored: Deployment, browsers: Any
) -> None:
    notes = monitored.release.documents.get(kind="release_notes")
    page = reverse("published", args=[monitored.release.number, "release_notes"])
    assert page == f"/admin/published/{monitored.release.number}/release_notes/"
    assert NOTES.splitlines()[2] not in browsers("developer").get(page).content.decode(), "not before it is published"
    complete(monitored)
    assert (world.fresh(notes).state, world.fresh(notes).published_at is not None) == ("published", True)
    for name in ("developer", "auditor", "tester"):
        assert "tags on datasets" in browsers(name).get(page).content.decode()
    walk(notes, "retract")
    assert "no longer holds" in browsers("developer").get(page).content.decode()
    release = browsers("developer").get(reverse("release", args=[monitored.release_id])).content.decode()
    assert f'href="{page}"' in release


def test_the_completion_notification_carries_notes_and_changelog(world: Any, monitored: Deployment) -> None:
    only(("deployment:succeed", "development_team", "admin"), ("deployment:start", "development_team", "admin"))
    join("development_team", world.people["developer"])
    with acting(WORKER), operation("deployment:succeed", (Deployment, monitored.pk)) as op:
        op.get(Deployment).succeed()
    with acting(WORKER), operation("deployment:start", (Deployment, monitored.pk)):
        pass
    bodies = {notification.event: notification.texts["en"]["body"] for notification in make_notifications()}
    for kind in ("release_notes", "changelog"):
        assert f"/admin/published/{monitored.release.number}/{kind}/" in bodies["deployment:succeed"]
        assert f"{NOTES} ({kind})" in bodies["deployment:succeed"]
    assert "technical_documents" not in bodies["deployment:succeed"]
    assert NOTES not in bodies["deployment:start"], "its rule names no document"


def test_an_unapproved_document_is_published_nowhere(world: Any, monitored: Deployment) -> None:
    only(("deployment:succeed", "development_team", "admin"))
    join("development_team", world.people["developer"])
    walk(monitored.release.documents.get(kind="changelog"), "revise")
    with acting(WORKER), operation("deployment:succeed", (Deployment, monitored.pk)) as op:
        op.get(Deployment).succeed()
    (notification,) = make_notifications()
    assert (
        "(release_notes)" in notification.texts["ja"]["body"] and "(changelog)" not in notification.texts["ja"]["body"]
    )


def test_a_document_is_published_once_the_repository_has_the_commit(
    world: Any, monitored: Deployment, tmp_path: Path
) -> None:
    repository = own_repository(world, tmp_path)
    to(world, "ringi/documents")
    release = complete(monitored)
    assert {document.state for document in release.documents.all()} == {"ready_to_publish"}
    with acting(WORKER):
        assert publish(release.pk)
        assert not publish(release.pk), "nothing is left to publish"
    head = git(repository, "rev-parse", "refs/heads/ringi/documents")
    assert {(d.state, d.published_commit) for d in release.documents.all()} == {("published", head)}
    shown = git(repository, "show", f"{head}:docs/releases/1.3.0/changelog.md")
    assert shown == f"{NOTES} (changelog)"
    assert len(git(repository, "ls-tree", "-r", "--name-only", head).splitlines()) == 3
    main = git(repository, "rev-parse", "refs/heads/main")
    assert git(repository, "merge-base", "--is-ancestor", main, main) == "" and head != main


def test_a_remote_branch_is_pushed_on_top_of_its_present_head(
    world: Any, monitored: Deployment, tmp_path: Path
) -> None:
    repository = own_repository(world, tmp_path)
    commit = world.built.commits["v1.3.0"]
    git(repository, "update-ref", "refs/heads/ringi/documents", commit)
    alter(world.application, repository=f"file://{repository}")
    to(world, "ringi/documents", "")
    release = complete(monitored)
    with acting(WORKER):
        assert publish(release.pk)
    head = git(repository, "rev-parse", "refs/heads/ringi/documents")
    assert git(repository, "rev-parse", f"{head}^") == commit
    assert git(repository, "show", f"{head}:1.3.0/release_notes.md").startswith("# Datasets 1.3.0")
    assert release.documents.filter(published_commit=head).count() == 3


def test_a_failed_publication_is_shown_and_tried_again(
    world: Any, monitored: Deployment, tmp_path: Path, browsers: Any
) -> None:
    own_repository(world, tmp_path)
    to(world, "ringi/documents")
    release = complete(monitored)
    whole = world.fresh(world.application).repository
    alter(world.application, repository=str(tmp_path / "nowhere"))
    with acting(WORKER):
        assert not publish(release.pk)
        assert not publish(release.pk), "not again before its time"
    notes = release.documents.get(kind="release_notes")
    assert notes.state == "ready_to_publish" and "no repository" in notes.publish_failure and notes.publish_at > now()
    page = browsers("developer").get(reverse("release", args=[release.pk])).content.decode()
    assert "Ringi tries again every hour." in page and f"/operation/document/retry_publication/{notes.pk}/" in page
    alter(world.application, repository=whole)
    for document in release.documents.all():
        with world.acting_as("developer"):
            publish_again(document.pk)
    unpublished_documents(now())
    with acting(WORKER):
        assert publish(release.pk)
    assert {document.state for document in Document.objects.filter(release=release)} == {"published"}
    with world.acting_as("developer"), pytest.raises(NotPossible, match="not possible in the state “Published”"):
        publish_again(notes.pk)


def test_a_release_branch_is_never_written(world: Any, monitored: Deployment, tmp_path: Path) -> None:
    repository = own_repository(world, tmp_path)
    for branch in ("main", "staging", "development", "hotfix/notes"):
        with pytest.raises(InvalidInput, match="Releases come from"):
            to(world, branch)
    with pytest.raises(InvalidInput, match="path inside"):
        to(world, "ringi/documents", "../up")
    alter(world.application, documents_branch="main")
    before = git(repository, "rev-parse", "refs/heads/main")
    release = complete(monitored)
    with acting(WORKER):
        assert not publish(release.pk)
    assert git(repository, "rev-parse", "refs/heads/main") == before


def test_a_document_is_not_published_before_its_release_is_completed(world: Any, monitored: Deployment) -> None:
    notes = monitored.release.documents.get(kind="release_notes")
    assert not_due(world.people["developer"], notes)
    with world.acting_as("developer"), pytest.raises(NotPossible, match="completed"):
        publish_again(notes.pk)


def test_a_document_retracted_before_publication_stays_unpublished(
    world: Any, monitored: Deployment, tmp_path: Path
) -> None:
    from releases.operations.deployment.completion import mark_release_rolled_back

    own_repository(world, tmp_path)
    to(world, "ringi/documents")
    release = complete(monitored)
    with acting(COMMAND), operation("test:take_back", (Release, release.pk)) as op:
        mark_release_rolled_back(op.get(Release))
    with acting(WORKER):
        assert not publish(release.pk)
    assert {document.state for document in release.documents.all()} == {"ready_to_publish"}
