"""Closed years: the list with the end of their retention, one year with its figures, and its archive to download."""

from collections.abc import Callable, Iterator
from datetime import datetime

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from audit.actor import acting, current, name_of
from audit.clock import now
from audit.models import ClosedYear
from audit.operation import record_event
from audit.refusals import OperationRefused
from environments.admin.rights import auditors, page, rights_of
from releases.admin.components.change_history import history_of, operation_name
from releases.admin.components.formatting import button, show
from releases.admin.operations import verb
from releases.admin.pages.retention.page import kept_until
from releases.operations.release.plan import active_procedure
from releases.operations.year import close
from releases.queries.year_figures import HOLDS, OPEN
from releases.reporting.closed_year.archive import YearArchive


def _deciders(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Make a view a page for those who request and confirm the closing of years."""

    @page
    def shown(request: HttpRequest, **kwargs: int) -> HttpResponse:
        rights = rights_of(request)
        if not (rights.may("audit") or rights.may("manage_accounts")):
            raise PermissionDenied
        return view(request, **kwargs)

    return shown  # type: ignore[return-value]


@_deciders
def closed_years(request: HttpRequest) -> HttpResponse:
    """Show each year that is closed or requested, and why the next one is not closed yet."""
    rule, moment = active_procedure().document, now()
    rows = [(row, kept_until(row.until, rule)) for row in ClosedYear.objects.filter(rejected_at=None)]
    due, why = close.next_year(), ""
    try:
        year = close.checked(due) if due is not None else None
    except OperationRefused as refused:
        year, why = None, "; ".join(map(str, refused.reasons))
    may, asked = rights_of(request).may("audit"), any(row.confirmed_at is None for row, _until in rows)
    request_it = verb("year", "request_closing")
    return show(
        request,
        "pages/closed_years/closed_years.html",
        _("Closed years"),
        rows=[(row, until, until < moment) for row, until in rows],
        years=rule.retention.records_years,
        due=due,
        why=why,
        asked=asked,
        give=[button(request_it, None)] if request_it is not None and may and year is not None and not asked else [],
    )


@_deciders
def closed_year(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one year: its figures, who closed it, and its archives."""
    row = get_object_or_404(ClosedYear, pk=pk)
    until = kept_until(row.until, active_procedure().document)
    return show(
        request,
        "pages/closed_years/closed_year.html",
        str(row),
        year=row,
        until=until,
        over=until < now(),
        holds=[(name, row.contents["holds"][key]) for key, name in HOLDS.items()],
        open=[(name, row.contents["open"][key]) for key, name in OPEN.items()],
        archives=[(digest, length, datetime.fromisoformat(at)) for digest, length, at in row.archives],
        requester=name_of(row.requested_by),
        confirmer=name_of(row.confirmed_by),
        downloads=rights_of(request).may("audit"),
        history=history_of([row]),
    )


@auditors
def year_archive(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Stream the archive of a closed year; the download is an event, and so is a digest that is not known yet."""
    row = get_object_or_404(ClosedYear.objects.exclude(confirmed_at=None), pk=pk)
    record_event("audit:export_year", object=f"audit.ClosedYear:{row.pk}", year=str(row))
    archive, actor = YearArchive(row, operation_name), current()
    made = iter(archive)
    try:
        first = next(made)
    except OperationRefused as refused:
        for reason in refused.reasons:
            messages.error(request, str(reason))
        return redirect("closed-year", pk=row.pk)

    def pieces() -> Iterator[bytes]:
        yield first
        yield from made
        with acting(actor):
            close.record_archive(row.pk, digest=archive.made.digest.hexdigest(), length=archive.made.length)

    answer = StreamingHttpResponse(pieces(), content_type="application/zip")
    answer._resource_closers.append(made.close)  # type: ignore[attr-defined]
    answer["Content-Disposition"] = f'attachment; filename="{row}.zip"'
    return answer
