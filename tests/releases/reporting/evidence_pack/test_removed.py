"""Deleted and moved rows are in the evidence of their change, marked as such, with their events and proofs."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.urls import reverse
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from audit.search import Wanted, look
from releases.models import (
    ApprovalDecision,
    ApprovalRequest,
    ChecklistItem,
    CommitteeMeeting,
    Document,
    Evidence,
    Milestone,
    Release,
)
from releases.reporting.evidence_pack import scope
from tests.releases.audited import Made, sign_ledger
from tests.releases.reporting.evidence_pack.test_pack import altered, packed, state, verify

__all__ = ["state"]


def by_hand(database: str, *statements: str) -> None:
    """Run SQL as the owner of the tables, under break-glass, all in one transaction."""
    name = str(conninfo_to_dict(database)["dbname"])
    with psycopg.connect(make_conninfo(os.environ["DATABASE_OWNER_URL"], dbname=name)) as owner:
        owner.execute("SELECT ringi_break_glass('mori', 'it stood in the way')")
        for statement in statements:
            owner.execute(statement)


@pytest.fixture
def sign(made: Made, tmp_path: Path) -> Callable[[], Any]:
    """Return a function that signs all events, with a copy of the key of the copied database."""
    folder = tmp_path / "signer"
    shutil.copytree(made.signer, folder)
    return lambda: sign_ledger(folder)


def opened(archive: bytes) -> tuple[dict[str, Any], dict[str, str], list[dict[str, Any]]]:
    """Return the content of a pack: the change, its pages, and its events with proof."""
    with zipfile.ZipFile(io.BytesIO(archive)) as pack:
        pages = {language: pack.read(f"index.{language}.html").decode() for language in ("ja", "en")}
        records = [json.loads(line) for line in pack.read("ledger/events.jsonl").splitlines()]
        events = [json.loads(base64.b64decode(record["event"])) for record in records if record["path"] is not None]
        return json.loads(pack.read("change.json")), pages, events


def verified(archive: bytes, tmp_path: Path) -> tuple[int, str]:
    """Verify a pack with separately obtained keys of the signer and of the statements."""
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        (tmp_path / "statements.pub").write_bytes(read.read("keys/statements.pub"))
    keys = ("--key", str(tmp_path / "signer" / "key.pub"), "--statements", str(tmp_path / "statements.pub"))
    return verify(archive, tmp_path, *keys)


def table_of(model: Any) -> str:
    return str(model._meta.db_table)


@pytest.mark.parametrize(
    "model", [ApprovalDecision, Evidence, Document, Milestone, ChecklistItem, Release.editors.through]
)
def test_a_deleted_row_is_in_the_pack_with_its_events(
    deployment: Any, sign: Any, database: str, state: Any, tmp_path: Any, model: Any
) -> None:
    release = deployment.release
    wanted = {
        ApprovalDecision: {"approval_request__release": release},
        Evidence: {"pk__in": scope.evidence_of(release).filter(superseded_by=None, pk__lt=4)},
    }.get(model, {"release": release})
    row = model._default_manager.filter(**wanted).order_by("pk").first()
    label = scope.label_of(model, row.pk)
    if model is Document:
        by_hand(database, f"DELETE FROM releases_documentsignature WHERE document_id = {row.pk}")
    by_hand(database, f"DELETE FROM {table_of(model)} WHERE id = {row.pk}")
    sign()
    archive = packed(deployment)
    change, pages, events = opened(archive)
    (one,) = [removed for removed in change["removed"] if removed["object"] == label]
    assert (one["outcome"], one["actor"], one["operation"]) == ("deleted", "break-glass:mori", "audit:break_glass")
    assert one["last_values"]["id"] == row.pk and one["reason"] == "it stood in the way"
    assert [e["outcome"] for e in events if e["object"] == label][-1] == "deleted"
    assert [e["outcome"] for e in events if e["object"] == label][0] == "inserted"
    for page in pages.values():
        assert label in page and "it stood in the way" in page
    code, said = verified(archive, tmp_path)
    assert code == 0 and "HOLDS" in said, said
    assert (
        f"DELETED: 1 of {label.partition(':')[0]} by break-glass:mori (audit:break_glass), number {one['event']}"
        in said
    )


def test_a_deleted_request_with_its_approvals_is_in_the_pack(
    deployment: Any, sign: Any, database: str, state: Any
) -> None:
    """Approval request and approvals at once: none of their parents exists any more."""
    approval_request = ApprovalRequest.objects.filter(release=deployment.release).order_by("pk").first()
    assert approval_request is not None
    said = list(ApprovalDecision.objects.filter(approval_request=approval_request).values_list("pk", flat=True))
    by_hand(
        database,
        f"DELETE FROM releases_approvaldecision WHERE approval_request_id = {approval_request.pk}",
        f"UPDATE releases_deployment SET approval_request_id = NULL WHERE approval_request_id = {approval_request.pk}",
        f"DELETE FROM releases_approvalrequest WHERE id = {approval_request.pk}",
    )
    sign()
    change, _pages, _events = opened(packed(deployment))
    gone = {one["object"] for one in change["removed"]}
    assert (
        gone >= {f"releases.ApprovalRequest:{approval_request.pk}", *(f"releases.ApprovalDecision:{pk}" for pk in said)}
        and said
    )


def test_a_row_moved_to_another_release_is_in_the_pack(
    deployment: Any, again: Any, sign: Any, database: str, state: Any
) -> None:
    other = again.planned("1.4.0")
    item = ChecklistItem.objects.filter(release=deployment.release).order_by("pk").first()
    assert item is not None
    by_hand(database, f"UPDATE releases_checklistitem SET release_id = {other.pk} WHERE id = {item.pk}")
    sign()
    change, _pages, _events = opened(packed(deployment))
    (one,) = [removed for removed in change["removed"] if removed["object"] == f"releases.ChecklistItem:{item.pk}"]
    assert one["outcome"] == "moved" and one["last_values"]["release_id"] == deployment.release_id


def test_a_clean_change_has_no_removed_row(deployment: Any, state: Any, tmp_path: Any) -> None:
    archive = packed(deployment)
    assert opened(archive)[0]["removed"] == []
    assert "DELETED" not in verified(archive, tmp_path)[1]


def test_the_timelines_of_release_and_environment_show_the_deletion(
    deployment: Any, database: str, browsers: Callable[[str], Any]
) -> None:
    said = ApprovalDecision.objects.filter(
        approval_request__release=deployment.release, approval_request__environment__slug="production"
    ).first()
    assert said is not None
    by_hand(database, f"DELETE FROM releases_approvaldecision WHERE id = {said.pk}")
    label, place = f"releases.ApprovalDecision:{said.pk}", deployment.environment_id
    for wanted in (
        Wanted(objects=scope.of_release(deployment.release_id), operation="audit:break_glass"),
        Wanted(within=(scope.in_environment(place),), operation="audit:break_glass"),
    ):
        assert label in {event.object for event in look(wanted, 100).events}
    html = (
        browsers("auditor").get(reverse("timeline"), {"release": deployment.release_id, "outcome": "deleted"}).content
    )
    assert f"Approval {said.pk}".encode() in html or label.encode() in html


def test_the_verifier_still_finds_the_deletion(
    deployment: Any, sign: Any, database: str, state: Any, tmp_path: Any
) -> None:
    """It reads the proven events themselves: a list that hides the deletion does not change its answer."""
    said = ApprovalDecision.objects.filter(approval_request__release=deployment.release).first()
    assert said is not None
    by_hand(database, f"DELETE FROM releases_approvaldecision WHERE id = {said.pk}")
    sign()
    hidden = altered(
        packed(deployment), "change.json", lambda raw: raw.replace(b'"removed":[{', b'"removed":[],"x":[{')
    )
    assert verified(hidden, tmp_path)[0] == 1
    assert CommitteeMeeting.objects.count() == 0 and "DELETED: 1" in verified(packed(deployment), tmp_path)[1]
