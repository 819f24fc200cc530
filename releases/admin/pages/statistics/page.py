"""Statistics: the four DORA keys, time per phase, lateness, rollbacks and emergencies, as charts and as CSV."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from audit.clock import now
from environments.admin.rights import page, rights_of, shown_to
from environments.language import language
from environments.models import Application
from environments.times import ZONE
from releases.admin.components.formatting import show
from releases.admin.components.period import Period, fiscal_year, period_of
from releases.admin.pages.statistics import bars, csv
from releases.models import Procedure, Release
from releases.queries.rollback_causes import words_of
from releases.reporting.statistics.deployments import Keys, ProductionDeployment, keys_of, production_deployments
from releases.reporting.statistics.flow import Cause, Lateness, causes, kinds, lateness, phases
from releases.reporting.statistics.spread import Spread

DAYS_PER_MONTH = 365.25 / 12
YEARS_BACK = 4


@dataclass(frozen=True)
class Statistics:
    """Everything that the page and its CSV show of one period."""

    period: Period
    deployments: list[ProductionDeployment]
    keys: Keys
    before: Keys
    per_application: list[tuple[str, Keys]]
    phases: list[tuple[str, Spread]]
    lateness: list[Lateness]
    causes: list[Cause]
    kinds: dict[str, int]


def months_in(period: Period, moment: datetime) -> float:
    """Return how many months of a period have passed."""
    seconds = (min(period.until, moment) - period.since).total_seconds()
    return max(0.0, seconds / 86400 / DAYS_PER_MONTH)


def previous(period: Period) -> Period:
    """Return the previous period: the fiscal year before a fiscal year, else a stretch of the same length."""
    if period == fiscal_year(period.since):
        return fiscal_year(period.since - timedelta(days=1))
    return Period(period.since - (period.until - period.since), period.since)


def gather(period: Period, moment: datetime, application: int | None) -> Statistics:
    """Count everything; the cost grows with the period and not with the tables."""
    found, earlier = production_deployments(period.since, period.until, application), previous(period)
    months = months_in(period, moment)
    names = sorted({one.application for one in found})
    return Statistics(
        period=period,
        deployments=found,
        keys=keys_of(found, months),
        before=keys_of(production_deployments(earlier.since, earlier.until, application), months_in(earlier, moment)),
        per_application=[(n, keys_of([r for r in found if r.application == n], months)) for n in names],
        phases=phases(period.since, period.until, application),
        lateness=lateness(period.since, period.until, moment, application),
        causes=causes(period.since, period.until, application),
        kinds=kinds(found),
    )


def _months(period: Period) -> list[date]:
    """Return the first days of the months of a period, at most three years of them."""
    zone = ZoneInfo(ZONE)
    at, last = (
        period.since.astimezone(zone).date().replace(day=1),
        (period.until - timedelta(seconds=1)).astimezone(zone),
    )
    found: list[date] = []
    while at <= last.date() and len(found) < 36:
        found.append(at)
        at = (at + timedelta(days=32)).replace(day=1)
    return found


def _columns(statistics: Statistics) -> bars.Columns:
    zone, months = ZoneInfo(ZONE), _months(statistics.period)
    place = {month: index for index, month in enumerate(months)}
    well, badly = [0] * len(months), [0] * len(months)
    for one in statistics.deployments:
        index = place.get(one.started_at.astimezone(zone).date().replace(day=1))
        if index is not None and one.evaluated:
            (badly if one.trouble else well)[index] += 1
    short = len(months) > 13
    japanese = language() == "ja"
    labels = [f"{m:%y/%m}" if short else f"{m.month}月" if japanese else f"{m:%b}" for m in months]
    return bars.columns(labels, [(_("without trouble"), "good", well), (_("with trouble"), "bad", badly)])


def trouble_words() -> dict[str, str]:
    """Return outcome of a deployment → its words; the definitions on the page use the same."""
    return {
        "rolled_back": _("rolled back"),
        "resolved": _("failed or stopped, then resolved"),
        "rescued": _("manual intervention"),
        "": "",
    }


def _with_bars(statistics: Statistics, words: dict[str, str]) -> dict[str, list[tuple[Any, Any, list[bars.Block]]]]:
    """Return the rows of each chart: name, counts, bar."""
    longest = max([spread.p90 or 0.0 for _state, spread in statistics.phases], default=0.0)
    most = max([cause.raised for cause in statistics.causes], default=0)

    def phase(row: Spread) -> list[bars.Block]:
        median = row.median or 0.0
        return bars.shares([("", "going", median), ("", "calm", (row.p90 or 0.0) - median)], longest)

    def milestone(row: Lateness) -> list[bars.Block]:
        parts = [(_("in time"), "good", row.kept), (_("late"), "warn", row.late), (_("still open"), "bad", row.open)]
        return bars.shares(parts, row.count)

    def cause(row: Cause) -> list[bars.Block]:
        going = row.raised - row.carried_out - row.dismissed
        parts = [(_("carried out"), "bad", row.carried_out), (_("dismissed"), "calm", row.dismissed)]
        return bars.shares([*parts, (_("under way"), "warn", going)], most)

    charts: list[tuple[str, str, Any]] = [
        ("phases", "phases", phase),
        ("lateness", "milestones", milestone),
        ("causes", "rollbacks", cause),
    ]
    return {
        key: [(name, row, bar(row)) for name, row in csv.named(part, statistics, words)] for key, part, bar in charts
    }


def _years(moment: datetime, chosen: Period) -> list[tuple[str, Period, bool]]:
    year, found = fiscal_year(moment), []
    for _count in range(YEARS_BACK):
        found.append((fiscal_words(year), year, year == chosen))
        year = fiscal_year(year.since - timedelta(days=1))
    return found


def fiscal_words(year: Period) -> str:
    """Return the name of a fiscal year."""
    number = year.since.astimezone(ZoneInfo(ZONE)).year
    return f"{number}年度" if language() == "ja" else f"FY{number}"


@page
def statistics(request: HttpRequest) -> HttpResponseBase:
    """Show the statistics; `application` narrows them, `csv` gives one part as a table."""
    moment, period = now(), period_of(request)
    applications = list(shown_to(request, Application.objects.all()))
    asked = request.GET.get("application", "")
    limited = rights_of(request).applications is not None
    chosen = next((a for a in applications if a.slug == asked), applications[0] if limited and applications else None)
    if limited and chosen is None:
        raise PermissionDenied
    found = gather(period, moment, chosen.pk if chosen is not None else None)
    active = Procedure.objects.of(chosen)
    words = words_of(active.document if active is not None else None)
    part = request.GET.get("csv", "")
    if part in csv.PARTS:
        return csv.table(part, found, words, trouble_words())
    total = sum(found.kinds.values())
    names = csv.words_of(Release.Kind)
    tones = {"regular": "good", "standard": "good", "emergency": "bad", "pre_release": "calm"}
    return show(
        request,
        "pages/statistics/statistics.html",
        _("Statistics"),
        period=period,
        years=_years(moment, period),
        applications=applications,
        chosen=chosen,
        limited=limited,
        statistics=found,
        before_words=fiscal_words(previous(period)) if period == fiscal_year(period.since) else _("the period before"),
        columns=_columns(found),
        **_with_bars(found, words),
        kinds=[(names[k], n, f"{100 * n / total:.0f}") for k, n in sorted(found.kinds.items(), key=lambda x: -x[1])],
        kind_bar=bars.shares([(names[k], tones[k], n) for k, n in found.kinds.items()], total),
        emergency_share=f"{100 * found.kinds.get('emergency', 0) / total:.0f}" if total else "",
        troubled=[one for one in found.deployments if one.trouble][:-51:-1],
        trouble_words=trouble_words(),
    )
