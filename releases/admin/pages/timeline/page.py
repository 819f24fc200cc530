"""The timeline: all events, newest first, with filters; the auditors' view of the ledger."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from operator import itemgetter
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils.http import urlencode
from django.utils.translation import get_language, gettext as _

from audit.models import Event, LedgerHead
from audit.search import Wanted, count, look
from environments import calendar
from environments.admin.rights import page, require_shown, rights_of, shown_to
from environments.application_scope import applications_of
from environments.language import noted
from environments.models import Account, Environment
from environments.times import ZONE
from releases.admin.components.change_history import history_entry, operation_name
from releases.admin.components.formatting import show, word
from releases.admin.components.visibility import readable_by, visibility_of
from releases.admin.operations import VERBS
from releases.models import Release
from releases.reporting.evidence_pack import scope

PAGE = 50
MOST_ACCOUNTS, MOST_RELEASES = 500, 300
FILTERS = (
    *("account", "actor", "operation", "object", "environment", "release", "outcome", "kind"),
    *("since", "until", "words", "address"),
)
NAMED = {"accounts": "environments.Account", "releases": "releases.Release", "environments": "environments.Environment"}
OUTCOMES = ("done", "refused", "failed", "inserted", "updated", "deleted")


def asked_of(request: HttpRequest) -> dict[str, str]:
    """Return the filters of a request as text."""
    return {name: request.GET.get(name, "").strip()[:200].replace("\x00", "") for name in FILTERS}


def number_of(text: str) -> int | None:
    """Return a whole number, or None for anything else."""
    return int(text) if text.isdecimal() and len(text) < 19 else None


def id_of(text: str) -> UUID | None:
    """Return the id of an event, or None for anything else."""
    try:
        return UUID(text)
    except ValueError:
        return None


def moment_of(text: str, *, end: bool = False) -> datetime | None:
    """Return the time that a text names, in the zone of the office; a day means its beginning, or its end."""
    try:
        if len(text) == 10:
            moment = datetime.combine(date.fromisoformat(text) + timedelta(days=1 if end else 0), time())
        else:
            moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        return None
    if not 1970 < moment.year < 9999:
        return None
    return moment if moment.tzinfo is not None else calendar.instant(moment, ZONE)


def wanted_of(asked: dict[str, str]) -> Wanted:
    """Return the search of the ledger."""
    model, _colon, pk = asked["object"].partition(":")
    release, environment = number_of(asked["release"]), number_of(asked["environment"])
    return Wanted(
        account_id=number_of(asked["account"]),
        actor=asked["actor"],
        operation=asked["operation"],
        object_label=asked["object"] if pk else "",
        model="" if pk else model,
        objects=scope.of_release(release) if release is not None else None,
        within=(scope.in_environment(environment),) if environment is not None else (),
        outcome=asked["outcome"],
        kind=asked["kind"],
        since=moment_of(asked["since"]),
        until=moment_of(asked["until"], end=True),
        words=asked["words"],
        address=asked["address"],
    )


def own_events(request: HttpRequest, events: Sequence[Event]) -> list[Event]:
    """Leave out the events about other applications: one operation can concern several."""
    if (own := rights_of(request).applications) is None:
        return list(events)
    known = applications_of(event.object for event in events)
    return [event for event in events if known.get(event.object) in own]


def rows_to_choose(request: HttpRequest) -> dict[str, list[tuple[int, str]]]:
    """Return the persons, releases and environments to filter by."""
    accounts = Account.objects.only("display_name", "username").order_by("display_name")[:MOST_ACCOUNTS]
    releases = Release.objects.only("version", "number", "application__name").select_related("application")
    return {
        "accounts": [(account.pk, str(account)) for account in accounts],
        "releases": [
            (release.pk, noted(release, release.number) if release.number else str(release))
            for release in shown_to(request, releases).order_by("-pk")[:MOST_RELEASES]
        ],
        "environments": [(environment.pk, str(environment)) for environment in Environment.objects.all()],
    }


@lru_cache
def operations_to_choose(language: str | None) -> tuple[tuple[str, str], ...]:
    """Return the operations to filter by, in a language: (`noun:verb`, words), by their words."""
    return tuple(sorted({(verb.key, noted(operation_name(verb.key), verb.key)) for verb in VERBS}, key=itemgetter(1)))


@page
def timeline(request: HttpRequest) -> HttpResponse:
    """Show fifty events before the one with the id `before`; `count=1` also counts all matches.

    The history of one object has no choice of persons, releases and environments: it takes six queries in total.
    """
    asked = asked_of(request)
    release = number_of(asked["release"])
    require_shown(request, f"{Release._meta.label}:{release}" if release is not None else asked["object"])
    one_object = ":" in asked["object"] and not (asked["account"] or asked["release"] or asked["environment"])
    wanted = replace(wanted_of(asked), readable=readable_by(request))
    found = look(wanted, PAGE, id_of(request.GET.get("before", "")))
    seen = visibility_of(request, [event.object for event in found.events])
    events = own_events(request, found.events)
    choices: dict[str, list[tuple[int, str]]] = {} if one_object else rows_to_choose(request)
    names = {f"{NAMED[kind]}:{pk}": name for kind, rows in choices.items() for pk, name in rows}
    kept = {name: value for name, value in asked.items() if value}
    return show(
        request,
        "pages/timeline/timeline.html",
        _("Timeline"),
        happenings=[history_entry(event, values=seen(event.object), names=names) for event in events],
        asked=asked,
        kept=kept,
        older="?" + urlencode({**kept, "before": str(found.older)}) if found.older is not None else "",
        looked_to=found.looked_to,
        counted=count(wanted) if request.GET.get("count") else None,
        count_url="?" + urlencode({**kept, "count": "1"}),
        one_object=one_object,
        **choices,
        actions=operations_to_choose(get_language()),
        kinds=Event.Kind.choices,
        input_zone=ZONE,
        outcomes=[(outcome, word(outcome)) for outcome in OUTCOMES],
        head=None if kept else LedgerHead.objects.first(),
    )
