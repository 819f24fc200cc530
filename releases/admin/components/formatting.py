"""Formatting for pages: times in a zone, states as tones, verbs as buttons. Templates and pages call it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _, gettext_lazy

from environments import times
from environments.admin.rights import Rights, rights_of
from environments.models.role import role_names
from environments.times import ZONE
from releases.admin.operations import VERBS, verbs_on
from releases.admin.operations.availability import offered
from releases.admin.operations.base import Verb
from releases.models import MonitoringCheck, MonitoringPeriod, StepAttempt

when, stamp = times.shown, times.stamp

_TONES = {
    "good": "completed closed approved used succeeded done ready ready_to_publish published in_effect verified "
    "testing_completed final_check_completed passed passed_by_person ok measured yes registered sent",
    "going": "in_review in_progress open scheduled queued running verifying monitoring releasing rolling_back "
    "reporting changed requested scope_locked content_checked authorised",
    "warn": "waived approve_with_condition awaiting_decision on_hold outcome_unknown sent_back withdrawn expired "
    "stopping stopped raised assessed rolled_back unknown no_data stale inconclusive not_measured due_immediately "
    "restored retracted warning",
    "bad": "failed rejected invalidated missed rollback_failed error refused no overdue unreachable",
}
TONES = {state: tone for tone, states in _TONES.items() for state in states.split()}

_WORDS: dict[str, Any] = {
    **dict(MonitoringPeriod.Result.choices),
    **dict(MonitoringCheck.Result.choices),
    **dict(StepAttempt.Probe.choices),
    **dict(StepAttempt.Outcome.choices),
    "not_passed": gettext_lazy("not passed"),
    "previous": gettext_lazy("previous state"),
    "planned": gettext_lazy("planned state"),
    "refused": gettext_lazy("refused"),
    "inserted": gettext_lazy("made"),
    "updated": gettext_lazy("changed"),
    "deleted": gettext_lazy("deleted"),
    "one_way": gettext_lazy("there is no reverse migration"),
    "loses": gettext_lazy("the reverse migration does not restore data"),
    "ok": gettext_lazy("in order"),
    "changed": gettext_lazy("changed"),
    "unreachable": gettext_lazy("not reached"),
}


def tone(state: Any) -> str:
    """Return the tone (good, going, warn, bad, calm) in which a state or result is shown."""
    return TONES.get(str(state), "calm")


def day(at: datetime | None, zone: str = "") -> str:
    """Return the day of a time in a zone; empty for none."""
    return f"{at.astimezone(ZoneInfo(zone or ZONE)):%Y/%m/%d}" if at is not None else ""


def zoned_input(at: datetime, zone: str = "") -> str:
    """Return a time as the field for a local time takes it."""
    return at.astimezone(ZoneInfo(zone or ZONE)).strftime("%Y-%m-%dT%H:%M:%S")


def clock(at: datetime | None, zone: str = "") -> str:
    """Return a time of the day to the second with its zone, as an element that holds the instant; a dash for none."""
    return times.marked(at, clock_text(at, zone)) if at is not None else "—"


def clock_text(at: datetime, zone: str = "") -> str:
    """Return the same as plain text."""
    local = at.astimezone(ZoneInfo(zone or ZONE))
    return f"{local:%H:%M:%S} {times.zone_name(local)}"


def span(seconds: float | None) -> str:
    """Return a length of time in words, the two largest units; a dash for none."""
    if seconds is None:
        return "—"
    if seconds < 10:
        return _("%(s).1f s") % {"s": seconds}
    whole = round(seconds)
    for size, text in ((86400, _("%(n)d d")), (3600, _("%(n)d h")), (60, _("%(n)d min"))):
        if whole >= size:
            smaller = {86400: (3600, _("%(n)d h")), 3600: (60, _("%(n)d min")), 60: (1, _("%(n)d s"))}[size]
            rest = whole % size // smaller[0]
            return text % {"n": whole // size} + (" " + smaller[1] % {"n": rest} if rest else "")
    return _("%(n)d s") % {"n": whole}


def timer(seconds: float) -> str:
    """Return a length of time as hours, minutes and seconds; below nothing it is overdue."""
    whole = int(abs(seconds))
    return f"{'−' if seconds < 0 else ''}{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def remaining(until: datetime, now: datetime) -> str:
    """Say how long until a time, or how long it is overdue."""
    seconds = (until - now).total_seconds()
    if seconds >= 0:
        return _("in %(span)s") % {"span": span(seconds)}
    return _("overdue by %(span)s") % {"span": span(-seconds)}


def word(key: Any) -> str:
    """Return a stored key (role, result, outcome, resolution) in the reader's language; unknown keys as they are."""
    return str(_WORDS.get(str(key)) or role_names().get(str(key), key))


_FINDINGS = {
    "ok": gettext_lazy("in order"),
    "warning": gettext_lazy("to be mended"),
    "failed": gettext_lazy("must be mended"),
    "unknown": gettext_lazy("not looked at"),
}


def finding_word(key: Any) -> str:
    """Return the result of a look at the installation in the reader's language."""
    return str(_FINDINGS[str(key)])


def result_word(key: Any) -> str:
    """Return the result of a check in the reader's language."""
    return str(_("check failed")) if str(key) == "failed" else word(key)


@dataclass(frozen=True)
class Button:
    """A verb on a page: a link to its own page, or, with a reason, a verb that is not possible now."""

    label: str
    url: str
    key: str
    reason: str = ""
    danger: bool = False
    signs: bool = False
    main: bool = False


def button(verb: Verb, instance: Any, *, main: bool = False) -> Button:
    """Return the button of a verb on a row. main: the one that comes next."""
    return Button(
        label=str(verb.label),
        url=verb.url(instance.pk if instance is not None else None),
        key=verb.key,
        reason=verb.not_now(instance),
        danger=verb.danger,
        signs=verb.signs,
        main=main,
    )


def buttons(rights: Rights, instance: Model, *, main: Iterable[str] = ()) -> list[Button]:
    """Return the verbs that the account may use on a row: possible ones first, the `main` keys in their order before
    all others; the first of those is the one that comes next.
    """
    place = {key: number for number, key in enumerate(main)}
    verbs = [verb for verb in verbs_on(type(instance)) if offered(verb, rights, instance)]
    found = sorted(
        (button(verb, instance) for verb in verbs),
        key=lambda b: (bool(b.reason), place.get(b.key, len(place)), b.danger),
    )
    return [replace(b, main=number == 0 and not b.reason and b.key in place) for number, b in enumerate(found)]


def new_button(rights: Rights, model: type[Model]) -> list[Button]:
    """Return the buttons that create rows of a model; only an account with permission gets them."""
    found = [verb for verb in VERBS if verb.makes is model and offered(verb, rights, None)]
    several = [
        Button(_("Add from a file"), reverse("operation-from-file", args=[verb.noun, verb.name]), f"{verb.key}:file")
        for verb in found
        if verb.from_file
    ]
    return [*(button(verb, None, main=True) for verb in found), *several]


def stations(row: Any, path: Sequence[str], *reached: str) -> list[dict[str, str]]:
    """Return the stages of a row: past, here or ahead; an early end follows the stages in its history or `reached`."""
    names, way = dict(type(row).State.choices), path
    if row.state not in path:
        known = {*reached, *row.history.values_list("state", flat=True)}
        way = [*(state for state in path if state in known), row.state]
    here = way.index(row.state)
    return [
        {"state": state, "label": str(names[state]), "place": "past" if i < here else "here" if i == here else "ahead"}
        for i, state in enumerate(way)
    ]


def show(request: HttpRequest, template: str, title: str, **context: Any) -> HttpResponse:
    """Render a page of the admin. updates: what keeps it up to date (components.live); without it stays as it is."""
    return render(
        request,
        template,
        {**admin.site.each_context(request), "title": title, "rights": rights_of(request), "zone": "", **context},
    )
