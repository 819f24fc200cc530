"""Single parts of a procedure in words, as its printed document says them."""

from datetime import time
from typing import Any

from django.utils.translation import gettext as _

from environments.calendar.words import hours_in_words, rule_in_words
from environments.language import labelled, language, listed, noted
from environments.models import ChangeWindow
from releases.admin.components.formatting import span
from releases.models import Release
from releases.procedures.part import When, meant
from releases.procedures.parts import Label, Milestone, Regular, StandardChange


def mark(part: Label) -> str:
    """Return the words of a part; an asterisk where the value is a Ringi default."""
    return part.label(language()) + (" *" if part.origin == "default" else "")


def window(regular: Regular) -> str:
    """Return the days and hours of the regular window, as the numbers say them."""
    hours = hours_in_words(time.fromisoformat(regular.start), regular.length_minutes)
    said = [rule_in_words(regular.rrule, regular.day_offset), hours, regular.zone]
    if regular.on_holiday != "flag":
        handling = ChangeWindow.OnHoliday(regular.on_holiday).label
        said.append(labelled(noted(_("on a holiday"), regular.country), handling))
    return " · ".join(said)


def lasting(seconds: int, part: Label | None) -> str:
    """Return a length of time, with the author's words before it where there are any."""
    return span(seconds) if part is None else noted(mark(part), span(seconds))


def limited(change: StandardChange) -> str:
    """Return the words of a standard change with its limits."""
    classes = dict(Release.Risk.choices)
    limits = [labelled(_("application"), listed(change.applications))] if change.applications else []
    limits += [labelled(_("risk class"), listed(str(classes[key]) for key in change.risk))] if change.risk else []
    limits += [labelled(_("a week"), change.per_week)] if change.per_week is not None else []
    limits += [labelled(_("until"), change.until.isoformat())] if change.until is not None else []
    return noted(mark(change), " · ".join(limits)) if limits else mark(change)


def has(milestone: Milestone, kind: str) -> bool:
    """Tell whether releases of a type have a milestone."""
    return meant(milestone.when, kind, "")


def days(milestone: Milestone) -> str:
    """Return when it is due before T-0; empty where only emergencies have it."""
    if not any(has(milestone, kind) for kind in ("regular", "standard")):
        return ""
    said = f"T-{milestone.days_before}"
    working = milestone.days_before and milestone.unit == "working_days"
    return noted(said, _("working days")) if working else said


def hours_before(hours: int | None) -> str:
    """Return when a milestone of an emergency is due before T-0; empty for None."""
    return "" if hours is None else _("T-%(n)d h") % {"n": hours} if hours else "T-0"


def conditional(words: str, when: When | None) -> str:
    """Return the words of a row with the releases to which it applies, where it does not apply to all."""
    if when is None:
        return words
    risks = dict(Release.Risk.choices)
    kinds = dict(Release.Kind.choices)
    said = [labelled(_("risk class"), listed(str(risks[key]) for key in when.risk))] if when.risk else []
    said += [labelled(_("type"), listed(str(kinds[key]) for key in when.kind))] if when.kind else []
    return noted(words, " · ".join(said)) if said else words


def measured(trigger: Any) -> str:
    """Return when a measured trigger fires."""
    if not trigger.measured:
        return "—"
    how = _("× baseline") if trigger.comparison == "ratio" else ""
    said = _("%(k)d of %(n)d measurements at or above %(limit)s %(how)s")
    said %= {"k": trigger.k, "n": trigger.n, "limit": trigger.limit, "how": how}
    return f"{said} · " + _("dry run") if trigger.dry_run else said
