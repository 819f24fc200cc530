"""The calendar: a month as a grid, and each environment's next windows, extra windows, freezes, and what is planned."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from audit.clock import now
from environments.admin.rights import page, rights_of
from environments.models import CompanyHoliday, Environment
from releases.admin.calendar_entries import Entry as Entry
from releases.admin.calendar_entries import all_entries as all_entries
from releases.admin.calendar_entries import entries, read
from releases.admin.calendar_month import bounds, chosen, month, plan_url
from releases.admin.shown import new_button, show
from releases.models import Deployment


@page
def calendar(request: HttpRequest) -> HttpResponse:
    """Show the calendar; `month` (2026-12) and `environment` (its key) choose what the grid shows."""
    moment = now()
    everywhere = list(Environment.objects.all())
    wanted = request.GET.get("environment", "")
    some = [e for e in everywhere if e.slug == wanted] or everywhere
    first = chosen(request.GET.get("month", ""), moment)
    may_plan = rights_of(request).may("plan")
    rows = read(moment)
    past_too = read(min(moment, bounds(first)[0]))
    scheduled: Any = (
        Deployment.objects.filter(state__in=["scheduled", "queued"])
        .select_related("release__application", "environment")
        .order_by("scheduled_for")[:50]
    )
    listed = []
    for environment in everywhere:
        found = entries(environment, rows, moment)
        for entry in found:
            entry.plan = plan_url(entry) if may_plan and entry.empty and environment.protected else ""
        rules = [r for r in rows.windows if r.environment_id == environment.pk and not r.extra]
        listed.append((environment, found, rules))
    return show(
        request,
        "ringi/calendar.html",
        _("Calendar"),
        environments=listed,
        month=month(first, some, past_too, moment, may_plan=may_plan),
        wanted=some[0].slug if len(some) == 1 else "",
        scheduled=scheduled,
        moment=moment,
        holidays=list(CompanyHoliday.objects.filter(withdrawn_at=None, day__gte=moment.date())[:20]),
        holiday_buttons=new_button(rights_of(request), CompanyHoliday),
    )
