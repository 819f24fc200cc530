"""Artefacts: CI registers what it has built of a commit, and lists what there is."""

from typing import Annotated, Any, Literal

from django.http import HttpRequest
from ninja import Router
from pydantic import StringConstraints

from environments.application_scope import within
from releases.api import cursor as cursors, shapes
from releases.api.once import writes
from releases.api.rows import application_named, reach_all
from releases.api.token import caller_of
from releases.api.words import Body, CommitId, Revision, Slug, Text
from releases.models import Artefact
from releases.operations.artefact.register import register

router = Router(tags=["artefacts"])


class ArtefactIn(Body):
    """An artefact: an archive or a file by its address, or a container image by its name, each with its SHA-256.

    `signature`: by cosign, base64. `signed_payload`: for an image, the text that cosign has signed.
    """

    application: Slug
    commit: Annotated[Revision, StringConstraints(min_length=1)]
    kind: Literal["archive", "file", "image"]
    reference: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]+$", max_length=500)]
    digest: Annotated[str, StringConstraints(pattern=r"^(sha256:)?[0-9a-f]{64}$")]
    signature: Text = ""
    signed_payload: Text = ""


@router.post("", response=shapes.ArtefactOut)
@writes
def register_artefact(request: HttpRequest, fields: ArtefactIn) -> shapes.ArtefactOut:
    """Register an artefact of a commit: each release of that commit deploys the newest one."""
    caller = caller_of(request)
    application = application_named(caller, fields.application)
    reach_all(caller, application)
    made = register(application.pk, **fields.model_dump(exclude={"application"}))
    return shapes.artefact_out(made)


@router.get("", response=shapes.ArtefactPage)
def list_artefacts(
    request: HttpRequest,
    application: Slug | None = None,
    commit: CommitId | None = None,
    limit: cursors.Limit = 50,
    cursor: cursors.Cursor = "",
) -> Any:
    """List artefacts, the newest first."""
    caller = caller_of(request)
    caller.read_any()
    rows = within(Artefact.objects.select_related("application", "registered_by"), caller.applications)
    if application:
        rows = rows.filter(application=application_named(caller, application))
    if commit:
        rows = rows.filter(commit=commit)
    found, following = cursors.page(rows, "artefact", cursor, limit)
    return shapes.ArtefactPage(items=[shapes.artefact_out(row) for row in found], next=following)
