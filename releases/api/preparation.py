"""What people have done for a release: milestones, checklist, documents, team and final check. Read only: each of these
is a signature, or a decision about people, and a token gives none.
"""

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema

from environments.models.role import role_names
from releases.api import shapes
from releases.api.rows import release_numbered
from releases.api.token import caller_of
from releases.api.words import Id
from releases.gates.base import final_check_of
from releases.models import Document, Release

router = Router(tags=["releases"])


class SignatureOut(Schema):
    """One signature: what it means, and who gave it when (null: it is open). `role`: who is asked; empty: several."""

    label: str
    role: str
    signed_by: str | None
    signed_at: datetime | None


class ChecklistItemOut(SignatureOut):
    """One item of the checklist with the evidence that its signer named."""

    key: str
    group: str
    evidence: str


class DocumentOut(Schema):
    """One document with its text and its signatures, in order."""

    id: int
    kind: str
    label: str
    state: str
    text: str
    updated_at: datetime
    published_at: datetime | None
    signatures: list[SignatureOut]


class TeamMemberOut(Schema):
    """A member of the release team; telephone numbers are shown on the pages only."""

    team_role: str
    label: str
    name: str


class PreparationOut(Schema):
    """Everything that is prepared for a release."""

    milestones: list[shapes.MilestoneOut]
    checklist: list[ChecklistItemOut]
    documents: list[DocumentOut]
    team: list[TeamMemberOut]
    final_check: list[SignatureOut]


@router.get("/{int:release_id}/preparation", response=PreparationOut)
def show_preparation(request: HttpRequest, release_id: Id) -> Any:
    """Show milestones, checklist, documents, release team and final check of a release."""
    release = release_numbered(caller_of(request), release_id)
    return PreparationOut(
        milestones=[shapes.filled(shapes.MilestoneOut, row, label=str(row)) for row in release.milestones.all()],
        checklist=[
            ChecklistItemOut(
                key=row.key,
                group=row.group,
                label=str(row),
                role="",
                signed_by=str(row.signed_by) if row.signed_by is not None else None,
                signed_at=row.signed_at,
                evidence=row.evidence,
            )
            for row in release.checklist.select_related("signed_by")
        ],
        documents=[_document(row) for row in release.documents.prefetch_related("signatures__account")],
        team=[
            TeamMemberOut(team_role=row.team_role, label=row.get_team_role_display(), name=str(row.account))
            for row in release.team_members.select_related("account")
        ],
        final_check=_final_check(release),
    )


def _document(row: Document) -> DocumentOut:
    return DocumentOut(
        id=row.pk,
        kind=row.kind,
        label=str(row),
        state=row.state,
        text=row.body,
        updated_at=row.updated_at,
        published_at=row.published_at,
        signatures=[
            SignatureOut(
                label=str(one),
                role=one.role,
                signed_by=str(one.account) if one.account is not None else None,
                signed_at=one.signed_at,
            )
            for one in row.signatures.all()
        ],
    )


def _final_check(release: Release) -> list[SignatureOut]:
    signed = {row.role: row for row in release.final_checks.filter(invalidated_at=None).select_related("account")}
    asked, names = final_check_of(release).signers if release.procedure is not None else (), role_names()
    return [
        SignatureOut(
            label=names.get(role, role),
            role=role,
            signed_by=str(signed[role].account) if role in signed else None,
            signed_at=signed[role].signed_at if role in signed else None,
        )
        for role in dict.fromkeys((*asked, *signed))
    ]
