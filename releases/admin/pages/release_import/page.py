"""The page of one import of past releases: what was found, its progress, and its result."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext, ngettext

from environments.admin.rights import found_or_404, page
from releases.admin.components.formatting import show
from releases.models import ReleaseImport

MOST_SHOWN = 40


@page
def release_import(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one import; the page polls its progress while a worker executes it."""
    row = found_or_404(request, ReleaseImport.objects.select_related("application", "requested_by"), pk=pk)
    found = _found(row) if row.stage != ReleaseImport.Stage.READING else []
    return show(
        request, "pages/release_import/release_import.html", str(row), row=row, found=found, progress=_progress(row)
    )


@page
def progress(request: HttpRequest, pk: int) -> HttpResponse:
    """Return the state and a new line of progress as JSON, in the form of a step's log."""
    row = found_or_404(request, ReleaseImport.objects.all(), pk=pk)
    after = request.GET.get("after", "")
    text = f"\n{_progress(row)}" if after != str(row.done) else ""
    return JsonResponse({"text": text, "after": row.done, "run": row.stage, "ended": False})


def _progress(row: ReleaseImport) -> str:
    return gettext("%(done)d of %(total)d releases imported") % {"done": row.done, "total": row.total}


def _found(row: ReleaseImport) -> list[tuple[str, str]]:
    new = [f"{version} ({date or '—'})" for version, date, _commit in row.found.get("new", ())]
    known, skipped = row.found.get("known", []), row.found.get("skipped", [])
    return [
        (ngettext("%(n)d past release", "%(n)d past releases", len(new)) % {"n": len(new)}, _some(new, ", ")),
        (ngettext("%(n)d known already", "%(n)d known already", len(known)) % {"n": len(known)}, _some(known, ", ")),
        (
            ngettext("%(n)d tag skipped", "%(n)d tags skipped", len(skipped)) % {"n": len(skipped)},
            _some(_grouped(skipped), "\n"),
        ),
    ]


def _grouped(skipped: list[list[str]]) -> list[str]:
    """Return a line for each reason, with the tags that it applies to."""
    by_reason: dict[str, list[str]] = {}
    for tag, why in skipped:
        by_reason.setdefault(why, []).append(tag)
    return [f"{why} {_some(tags, ', ')}" for why, tags in by_reason.items()]


def _some(rows: list[str], between: str) -> str:
    if not rows:
        return "—"
    if len(rows) <= MOST_SHOWN:
        return between.join(rows)
    rest = gettext("and %(count)d more") % {"count": len(rows) - MOST_SHOWN}
    return between.join([*rows[:MOST_SHOWN], rest])
