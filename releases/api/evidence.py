"""Evidence: upload reports, and list what there is for a commit."""

from typing import Annotated, Any

from django.db.models import Q
from django.http import HttpRequest
from ninja import File, Form, Router, Schema
from ninja.files import UploadedFile
from pydantic import StringConstraints

from audit.refusals import InvalidInput
from releases import evidence_readers as reading
from releases.api import cursor as cursors, shapes
from releases.api.once import writes
from releases.api.rows import application_named, environment_named, known
from releases.api.token import caller_of
from releases.api.words import CommitId, EvidenceType, Line, Revision, Slug
from releases.gates.evidence import count_with
from releases.models import Evidence, Procedure, Release
from releases.operations.evidence.upload import check_amount, upload

router = Router(tags=["evidence"])


class EvidenceIn(Schema):
    """What a report is about; `environment` may also be a test environment of the procedure."""

    application: Slug
    environment: Slug
    kind: EvidenceType
    commit: Revision
    test_type: Annotated[str, StringConstraints(pattern=r"^[-a-zA-Z0-9_]*$", max_length=60)] = ""
    suite: Line = ""


def evaluated(rows: list[Evidence]) -> list[shapes.EvidenceOut]:
    """Return evidence with the results that the thresholds of its application's procedure give."""
    in_effect = Procedure.objects.filter(state="in_effect")
    limits = {row.key: row.document.threshold_values() for row in in_effect}
    return [
        shapes.evidence_out(row, *reading.evaluate(row.kind, row.values, limits.get(row.application.procedure, {})))
        for row in rows
    ]


@router.post("", response=shapes.UploadedOut)
@writes
def post_evidence(request: HttpRequest, fields: Form[EvidenceIn], file: File[list[UploadedFile]]) -> shapes.UploadedOut:
    """Upload reports: all files of the call, or none if one cannot be read. The answer says what counts now."""
    caller = caller_of(request)
    environment, application = (
        environment_named(caller, fields.environment),
        application_named(caller, fields.application),
    )
    try:
        for one in file:
            reading.check_size(one.size or 0)
    except reading.BadEvidence as fault:
        raise InvalidInput(str(fault))
    check_amount([one.size or 0 for one in file])
    made = upload(
        application.pk,
        environment_id=environment.pk,
        kind=fields.kind,
        commit=fields.commit,
        test_type=fields.test_type,
        suite=fields.suite,
        files=[(one.name or "", b"".join(one.chunks())) for one in file],
    )
    said = count_with(made[-1])
    counted = shapes.CountedOut(
        result=said.result, summary=said.sentence, reports=[row.pk for row, *_evaluated in said.reports]
    )
    return shapes.UploadedOut(items=evaluated(made), counted=counted)


@router.get("", response=shapes.EvidencePage)
def list_evidence(
    request: HttpRequest,
    commit: CommitId | None = None,
    application: Slug | None = None,
    kind: EvidenceType | None = None,
    limit: cursors.Limit = 50,
    cursor: cursors.Cursor = "",
) -> Any:
    """List evidence, the newest first; for a commit, the evidence that counts for its tree."""
    caller = caller_of(request)
    caller.read_any()
    wanted = caller.readable_rows()
    if commit:
        trees = {
            *Evidence.objects.filter(commit=commit).values_list("tree", flat=True),
            *Release.objects.filter(commit=commit).exclude(tree="").values_list("tree", flat=True),
        }
        wanted &= Q(commit=commit) | Q(tree__in=trees)
    if application:
        wanted &= Q(application=application_named(caller, application))
    if kind is not None:
        wanted &= Q(kind=known(kind, reading.NAMES, "kind"))
    rows = Evidence.objects.filter(wanted).select_related("application", "environment", "uploaded_by").defer("content")
    found, following = cursors.page(rows, "evidence", cursor, limit)
    return shapes.EvidencePage(items=evaluated(found), next=following)
