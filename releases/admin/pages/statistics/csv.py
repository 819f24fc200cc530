"""The statistics as CSV: each part of the page with the rows that it was counted from."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _

from environments.language import language
from releases.admin.components import sheet
from releases.models import Release

if TYPE_CHECKING:
    from releases.admin.pages.statistics.page import Statistics

PARTS = ("four_keys", "deployments", "phases", "milestones", "rollbacks")
# Every other fraction is a length of time.
FORMS = {"per_month": ".2f", "failed_share": ".3f"}


def table(part: str, found: Statistics, causes: dict[str, str], troubles: dict[str, str]) -> StreamingHttpResponse:
    """Return one of PARTS; lengths of time in hours, shares as fractions of one."""
    words = {"kind": words_of(Release.Kind), "trouble": troubles}

    def cell(row: Any, path: str) -> Any:
        value = attrgetter(path)(row)
        if path in words:
            return words[path][value]
        if isinstance(value, float):
            return f"{value:{FORMS[path]}}" if path in FORMS else f"{value / 3600:.2f}"
        return "" if value is None else value

    name, columns = _columns()[part]
    return sheet.answer(
        f"statistics-{part}-{found.period.first_day}-{found.period.last_day}",
        [name, *columns.values()],
        [[about, *(cell(row, path) for path in columns)] for about, row in named(part, found, causes)],
    )


def words_of(choices: Any) -> dict[str, str]:
    """Return key → words in the reader's language."""
    return {str(key): str(name) for key, name in choices.choices}


def named(part: str, found: Statistics, causes: dict[str, str]) -> list[tuple[Any, Any]]:
    """Return the rows of one of PARTS, each after its name."""
    match part:
        case "four_keys":
            return [*found.per_application, (_("all"), found.keys)]
        case "deployments":
            return [(one.pk, one) for one in found.deployments]
        case "phases":
            states = words_of(Release.State)
            return [(states[state], spread) for state, spread in found.phases]
        case "milestones":
            return [(row.label_ja if language() == "ja" else row.label_en, row) for row in found.lateness]
    return [(causes.get(cause.key, cause.key), cause) for cause in found.causes]


def _columns() -> dict[str, tuple[str, dict[str, str]]]:
    """Return part → the head of its names, and attribute → head of each further column."""
    keys = {
        "verified": _("verified deployments"),
        "per_month": _("per month"),
        "lead.median": _("lead time, median (h)"),
        "lead.p90": _("lead time, 90 % (h)"),
        "evaluated": _("deployments with a result"),
        "failed": _("failed deployments"),
        "failed_share": _("change failure rate"),
        "restore.median": _("time to restore, median (h)"),
        "open": _("not restored yet"),
    }
    deployments = {
        "application": _("application"),
        "release": _("version"),
        "kind": _("type"),
        "fixed_at": _("scope locked"),
        "started_at": _("started"),
        "verified_at": _("verified"),
        "lead_seconds": _("lead time (h)"),
        "trouble": _("trouble"),
        "trouble_at": _("trouble began"),
        "restored_at": _("restored"),
        "restore_seconds": _("time to restore (h)"),
    }
    milestones = {
        "kept": _("in time"),
        "late": _("late"),
        "open": _("still open"),
        "lateness.median": _("lateness, median (h)"),
        "lateness.p90": _("lateness, 90 % (h)"),
    }
    rollbacks = {
        "raised": _("alarms"),
        "carried_out": _("carried out"),
        "dismissed": _("dismissed"),
        "critical": _("critical"),
        "restore.median": _("alarm to restored, median (h)"),
    }
    return {
        "four_keys": (_("application"), keys),
        "deployments": (_("deployment"), deployments),
        "phases": (_("phase"), {"count": _("releases"), "median": _("median (h)"), "p90": _("90 % (h)")}),
        "milestones": (_("milestone"), milestones),
        "rollbacks": (_("cause"), rollbacks),
    }
