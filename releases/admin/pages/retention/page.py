"""Retention (J5): records by years, backups on targets by the days of the procedure in effect."""

from datetime import datetime
from typing import Any

from django.db.models import Count, Min, Model, Q
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from audit.clock import now
from audit.models import Event
from environments.admin.rights import auditors
from releases.admin.components.formatting import show
from releases.models import Evidence, Notification, Release, Rollback, StepAttempt
from releases.operations.dump.delete import dumps
from releases.operations.release.plan import active_procedure
from releases.procedures.document import Procedure as Content

# Type of record and the column that dates it.
RECORDS: tuple[tuple[type[Model], str], ...] = (
    (Release, "created_at"),
    (Evidence, "at"),
    (StepAttempt, "started_at"),
    (Rollback, "raised_at"),
    (Notification, "made_at"),
    (Event, "at"),
)


def kept_until(made: datetime, content: Content) -> datetime:
    """Return the end of the retention of a record made at a time."""
    return _years_later(made, content.retention.records_years)


def _years_later(moment: datetime, years: int) -> datetime:
    try:
        return moment.replace(year=moment.year + years)
    except ValueError:  # the 29th of February
        return moment.replace(year=moment.year + years, day=28)


@auditors
def retention(request: HttpRequest) -> HttpResponse:
    """Show each type of record with its oldest and how many are past their retention, and every backup on a target."""
    content, moment = active_procedure().document, now()
    rule = content.retention
    limit = _years_later(moment, -rule.records_years)
    return show(
        request,
        "pages/retention/retention.html",
        _("Retention"),
        rule=rule,
        records=[_record(model, column, limit, content) for model, column in RECORDS],
        dumps=[(dump, dump.until < moment) for dump in dumps()],
    )


def _record(model: type[Model], column: str, limit: datetime, content: Content) -> dict[str, Any]:
    past = Q(**{f"{column}__lt": limit})
    found = model._base_manager.aggregate(all=Count("pk"), oldest=Min(column), past=Count("pk", filter=past))
    until = kept_until(found["oldest"], content) if found["oldest"] is not None else None
    return {"name": model._meta.verbose_name_plural, "until": until, **found}
