"""The calendar: a month as a grid, and each environment's next windows, extra windows, freezes, and what is planned."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from audit.clock import now
from environments.admin.rights import page, rights_of, shown_to
from environments.models import Application, Environment, Holiday
from environments.times import office_day
from releases.admin.components.formatting import new_button, show
from releases.admin.pages.calendar.entries import (
    Entry as Entry,
    all_entries as all_entries,
    entries,
    name_neighbours,
    neighbours,
    read,
)
from releases.admin.pages.calendar.month import bounds, chosen, month, only_week, plan_url, week_of
from releases.models import Deployment


@page
def calendar(request: HttpRequest) -> HttpResponse:
    """Show the calendar; `month` (2026-12) or `week` (a day in it) and `environment` (its key) choose what it shows."""
    moment = now()
    everywhere = list(Environment.objects.all())
    wanted = request.GET.get("environment", "")
    some = [e for e in everywhere if e.slug == wanted] or everywhere
    first, day = chosen(request.GET.get("month", ""), moment), None
    if "week" in request.GET:
        day = week_of(request.GET["week"], moment)
        first = day.replace(day=1)
    rights = rights_of(request)
    applications = list(shown_to(request, Application.objects.order_by("name")))
    only = next((one for one in applications if one.slug == request.GET.get("application")), None)
    filters = {"environment": some[0].slug if len(some) == 1 else "", "application": only.slug if only else ""}
    may_plan, own = rights.anywhere("plan"), rights.applications
    rows = read(moment)
    past_too = read(min(moment, bounds(first)[0]))
    scheduled: Any = (
        shown_to(request, Deployment.objects.filter(state__in=["scheduled", "queued"]))
        .select_related("release__application", "environment")
        .order_by("scheduled_start_at")[:50]
    )
    listed = []
    beside: dict[int, dict[int, str]] = {}
    for environment in everywhere:
        found, here = entries(environment, rows, moment), neighbours(environment, rows.planned)
        name_neighbours(found, here)
        for pk, sentences in here.items():
            beside.setdefault(pk, {}).update(sentences)
        for entry in found:
            entry.plan = plan_url(entry) if may_plan and entry.empty and environment.protected else ""
        rules = [r for r in rows.windows if r.environment_id == environment.pk and not r.extra]
        listed.append((environment, found, rules))
    today = office_day(moment)
    grid = month(first, some, past_too, moment, may_plan=may_plan, seen=own, only=only, beside=beside)
    return show(
        request,
        "pages/calendar/calendar.html",
        _("Calendar"),
        environments=listed,
        month=only_week(grid, day) if day is not None else grid,
        shown_day=day or (first if (first.year, first.month) != (today.year, today.month) else today),
        stretch="week" if day is not None else "month",
        shown=str(day) if day is not None else f"{first:%Y-%m}",
        wanted=filters["environment"],
        only=only,
        applications=applications if len(applications) > 1 else [],
        filters="".join(f"&{name}={value}" for name, value in filters.items() if value),
        scheduled=scheduled,
        own=own,
        holidays=list(Holiday.objects.filter(removed_at=None, day__gte=today)[:20]),
        holiday_buttons=new_button(rights_of(request), Holiday),
    )
