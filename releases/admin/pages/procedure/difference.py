"""Two versions of the procedure side by side, and the effects of a new one on the releases under way."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from audit.clock import now
from environments.admin.rights import Rights, page, rights_of
from environments.language import language, listed
from releases.admin.components.formatting import show, when
from releases.admin.pages.procedure.page import PROCESS_SECTIONS, SECTIONS
from releases.gates.evaluation import evaluate
from releases.models import ApprovalRequest, Procedure, Release
from releases.operations.procedure.further import open_releases
from releases.procedures.compare import changed
from releases.procedures.origin import MARKS
from releases.queries.milestone_dates import due_dates
from releases.queries.step_plan import production_of

MOST = 50


@dataclass(frozen=True)
class Difference:
    """One row that differs: its section, its place in words, and both texts; empty where it is absent."""

    section: str
    place: str
    left: str
    right: str


@dataclass(frozen=True)
class Effect:
    """The effect on a release under way of moving it to another version."""

    release: Release
    approvals: list[str]
    milestones: list[tuple[str, str, str]]
    gates: list[tuple[str, str]]


def differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[Difference]:
    """Return every row in which two contents (JSON) differ, in the order of the document; marks of origin come last."""
    headings = {key: str(heading) for key, heading in (*PROCESS_SECTIONS.items(), *SECTIONS)}
    found = changed(left, right)
    order = {key: place for place, (key, _heading) in enumerate(SECTIONS)}
    places = sorted(found, key=lambda place: (place[-1] in MARKS, order.get(place[0], -1), place))
    return [Difference(headings.get(p[0], p[0]), " › ".join(p[1:]) or p[0], *found[p]) for p in places]


def seen_by(rights: Rights, found: list[Effect]) -> list[Effect]:
    """Keep the effects on releases of the applications that the reader sees."""
    return [one for one in found if rights.applications is None or one.release.application_id in rights.applications]


def effects(procedure: Procedure, moment: datetime) -> list[Effect]:
    """Return the effects on each release under way if it followed a version; nothing is changed."""
    content = procedure.document
    found = []
    for release in open_releases(procedure)[:MOST]:
        place = production_of(release)
        before = {answer.gate: answer.passes for answer in evaluate(release, place, moment)}
        due = {m.key: m for m in release.milestones.all()}
        wanted = (
            due_dates(content, release.scheduled_start_at, place, emergency=release.kind == Release.Kind.EMERGENCY)
            if release.scheduled_start_at is not None
            else {}
        )
        labels = {m.key: m.label(language()) for m in content.milestones}
        moved = [
            (labels.get(key, key), when(due[key].due_at if key in due else None, place.zone), when(at, place.zone))
            for key, at in wanted.items()
            if key not in due or (due[key].due_at != at and not due[key].due_immediately)
        ]
        approval_requests = ApprovalRequest.objects.filter(release=release, state__in=ApprovalRequest.LIVE)
        approvals = [
            f"{row.get_state_display()}: "
            + (listed(str(a.account) for a in row.decisions.all() if a.decision in a.COUNTING) or "—")
            for row in approval_requests.prefetch_related("decisions__account")
        ]
        release.procedure = procedure  # Only in memory, for the gates; never saved.
        closed = [a for a in evaluate(release, place, moment) if not a.passes and before.get(a.gate, True)]
        found.append(
            Effect(
                release,
                approvals,
                moved,
                [(a.label_ja if language() == "ja" else a.label_en, str(a.reason)) for a in closed],
            )
        )
    return found


@page
def procedure_difference(request: HttpRequest) -> HttpResponse:
    """Show two versions side by side: `left` and `right` are keys; left out, the one in effect and the newest draft."""
    rows = list(Procedure.objects.order_by("-pk")[:100])
    by_key = {str(row.pk): row for row in rows}
    newest = next((row for row in rows if row.state in ("draft", "in_review")), rows[0] if rows else None)
    right = by_key.get(request.GET.get("right", "")) or newest
    active = [row for row in rows if row.state == "in_effect" and right is not None and row.key in (right.key, "")]
    own = max(active, key=lambda row: row.key, default=None)  # before the first of a further one: the organisation's
    left = by_key.get(request.GET.get("left", "")) or own
    both = left is not None and right is not None and left.pk != right.pk
    pending = right is not None and right.state in ("draft", "in_review")
    return show(
        request,
        "pages/procedure/procedure_difference.html",
        _("Difference between versions of the procedure"),
        procedures=rows,
        left=left,
        right=right,
        differences=differences(left.content, right.content) if both and left is not None and right is not None else [],
        effects=seen_by(rights_of(request), effects(right, now())) if pending and right is not None else [],
        pending=pending,
    )
