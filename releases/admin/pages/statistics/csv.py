"""The statistics as CSV: each part of the page with the rows that it was counted from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _

from environments.language import language
from releases.admin.components import sheet
from releases.models import Release

if TYPE_CHECKING:
    from releases.admin.pages.statistics.page import Statistics

PARTS = ("four_keys", "deployments", "phases", "milestones", "rollbacks")


def _hours(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds / 3600:.2f}"


def _number(value: float | None, form: str = ".3f") -> str:
    return "" if value is None else f"{value:{form}}"


def table(part: str, found: Statistics, causes: dict[str, str], troubles: dict[str, str]) -> StreamingHttpResponse:
    """Return one of PARTS; lengths of time in hours, shares as fractions of one."""
    head, rows = {
        "four_keys": _keys,
        "deployments": _deployments,
        "phases": _phases,
        "milestones": _milestones,
        "rollbacks": _rollbacks,
    }[part](found, causes, troubles)
    return sheet.answer(f"statistics-{part}-{found.period.first_day}-{found.period.last_day}", head, rows)


Table = tuple[list[str], Iterable[Iterable[Any]]]


def _keys(found: Statistics, causes: dict[str, str], troubles: dict[str, str]) -> Table:
    head = [
        _("application"),
        _("verified deployments"),
        _("per month"),
        _("lead time, median (h)"),
        _("lead time, 90 % (h)"),
        _("deployments with a result"),
        _("failed deployments"),
        _("change failure rate"),
        _("time to restore, median (h)"),
        _("not restored yet"),
    ]
    rows = [
        (
            name,
            k.verified,
            _number(k.per_month, ".2f"),
            _hours(k.lead.median),
            _hours(k.lead.p90),
            k.evaluated,
            k.failed,
            _number(k.failed_share),
            _hours(k.restore.median),
            k.open,
        )
        for name, k in [*found.per_application, (_("all"), found.keys)]
    ]
    return head, rows


def _deployments(found: Statistics, causes: dict[str, str], troubles: dict[str, str]) -> Table:
    kinds = {str(key): str(name) for key, name in Release.Kind.choices}
    head = [
        _("deployment"),
        _("application"),
        _("version"),
        _("type"),
        _("scope locked"),
        _("started"),
        _("verified"),
        _("lead time (h)"),
        _("trouble"),
        _("trouble began"),
        _("restored"),
        _("time to restore (h)"),
    ]
    rows = [
        (
            one.pk,
            one.application,
            one.release,
            kinds[one.kind],
            one.fixed_at,
            one.started_at,
            one.verified_at,
            _hours(one.lead_seconds),
            troubles[one.trouble],
            one.trouble_at,
            one.restored_at,
            _hours(one.restore_seconds),
        )
        for one in found.deployments
    ]
    return head, [tuple("" if value is None else value for value in row) for row in rows]


def _phases(found: Statistics, causes: dict[str, str], troubles: dict[str, str]) -> Table:
    names = {str(key): str(name) for key, name in Release.State.choices}
    rows = [(names[state], s.count, _hours(s.median), _hours(s.p90)) for state, s in found.phases]
    return [_("phase"), _("releases"), _("median (h)"), _("90 % (h)")], rows


def _milestones(found: Statistics, causes: dict[str, str], troubles: dict[str, str]) -> Table:
    head = [
        _("milestone"),
        _("in time"),
        _("late"),
        _("still open"),
        _("lateness, median (h)"),
        _("lateness, 90 % (h)"),
    ]
    rows = [
        (
            row.label_ja if language() == "ja" else row.label_en,
            row.kept,
            row.late,
            row.open,
            _hours(row.lateness.median),
            _hours(row.lateness.p90),
        )
        for row in found.lateness
    ]
    return head, rows


def _rollbacks(found: Statistics, causes: dict[str, str], troubles: dict[str, str]) -> Table:
    head = [
        _("cause"),
        _("alarms"),
        _("carried out"),
        _("dismissed"),
        _("critical"),
        _("alarm to restored, median (h)"),
    ]
    rows = [
        (causes.get(c.key, c.key), c.raised, c.carried_out, c.dismissed, c.critical, _hours(c.restore.median))
        for c in found.causes
    ]
    return head, rows
