"""The figures of a period: the four DORA keys of production deployments, as the page Statistics counts them."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Query, Router, Schema
from pydantic import AwareDatetime

from audit.clock import now
from audit.refusals import InvalidInput
from releases.api.rows import application_named
from releases.api.token import caller_of
from releases.api.words import Slug
from releases.reporting.statistics.deployments import keys_of, production_deployments
from releases.reporting.statistics.spread import Spread

router = Router(tags=["figures"])
DAYS_PER_MONTH = 365.25 / 12
LONGEST = timedelta(days=366 * 5)


class SpreadOut(Schema):
    """Seconds of several things: how many there are, the median and the 90th percentile (null: none)."""

    count: int
    median: float | None
    p90: float | None


class FiguresOut(Schema):
    """The production deployments that began in a period.

    `verified`: how many; `per_month`: of them; `lead_seconds`: from locking the scope to the verification in
    production; `failed` of `evaluated`, which is `failed_share`; `restore_seconds`: how long the trouble lasted;
    `open`: how many are not evaluated yet.
    """

    application: str | None
    since: datetime
    until: datetime
    verified: int
    per_month: float | None
    lead_seconds: SpreadOut
    evaluated: int
    failed: int
    failed_share: float | None
    restore_seconds: SpreadOut
    open: int


@router.get("", response=FiguresOut)
def show_figures(
    request: HttpRequest,
    since: Annotated[AwareDatetime, Query()],
    until: Annotated[AwareDatetime | None, Query()] = None,
    application: Slug | None = None,
) -> Any:
    """Show the figures of a period, of one application where it is named; `until` is now where it is left out."""
    caller, moment = caller_of(request), now()
    caller.read_any()
    chosen = application_named(caller, application) if application is not None else None
    if chosen is None and caller.applications is not None:
        raise InvalidInput(_("This account has to do with some applications only. Name one of them."))
    end = min(until or moment, moment)
    if not timedelta(0) < end - since <= LONGEST:
        raise InvalidInput(_("The period ends before it begins, or is longer than five years."))
    keys = keys_of(
        production_deployments(since, end, chosen.pk if chosen is not None else None),
        (end - since).total_seconds() / 86400 / DAYS_PER_MONTH,
    )
    return FiguresOut(
        application=chosen.slug if chosen is not None else None,
        since=since,
        until=end,
        verified=keys.verified,
        per_month=keys.per_month,
        lead_seconds=_out(keys.lead),
        evaluated=keys.evaluated,
        failed=keys.failed,
        failed_share=keys.failed_share,
        restore_seconds=_out(keys.restore),
        open=keys.open,
    )


def _out(spread: Spread) -> SpreadOut:
    return SpreadOut(count=spread.count, median=spread.median, p90=spread.p90)
