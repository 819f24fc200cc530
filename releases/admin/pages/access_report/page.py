"""Who could, who did: at any moment, who was allowed to approve, start and change; and every use of it before."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from audit.clock import now
from audit.models import Event
from audit.operation import record_event
from audit.search import operations
from environments.access_as_of import AccessAsOf, Held, Person, allows
from environments.admin.rights import page
from environments.models import Environment
from environments.roles import ENVIRONMENT_PERMISSIONS, LEVEL_CHOICES, ROLE_CHOICES
from releases.admin.components import sheet
from releases.admin.components.change_history import HistoryEntry, history_entry
from releases.admin.components.formatting import DEFAULT_ZONE, show, word, zoned_input
from releases.admin.operations import VERBS
from releases.admin.operations.base import Verb
from releases.admin.pages.access.page import LEVEL_TONES
from releases.admin.pages.timeline.page import moment_of, number_of
from releases.models import Release
from releases.reporting.evidence_pack import scope

DAYS = 30
MOST_DAYS = 400
# More acts of one duty than these are not shown at once; the page says so.
MOST_USES = 1000
# Models whose rows lie in an environment, and are asked about there; the emergency stop lies in each of production.
PLACED = frozenset(model for model, _path in scope.TO_ENVIRONMENT)
SWITCH = "releases.EmergencyStop:"
Table = tuple[list[Any], Iterable[tuple[Any, ...]]]


@dataclass(frozen=True)
class Duty:
    """A kind of operation: its key, its name, and the rights of which any one allows it."""

    key: str
    label: Any
    rights: tuple[str, ...]

    def verbs(self) -> list[Verb]:
        """Return the verbs that need one of the rights."""
        return [verb for verb in VERBS if set(self.rights) & set(verb.rights)]


def duties() -> tuple[Duty, ...]:
    """Return the duties that are told apart, in the order of a release."""
    return (
        Duty("change", _("Change"), ("plan", "prepare", "edit_changes", "edit_configuration")),
        Duty("approve", _("Approve"), ("approve", "approve_change", "send_back", "reject")),
        Duty("start", _("Start deployment"), ("schedule", "start")),
        Duty("verify", _("Verify deployment"), ("verify",)),
        Duty("back", _("Rollback"), ("roll_back", "authorise_rollback", "raise_rollback")),
        Duty("grant", _("Grants"), ("manage_access", "manage_accounts")),
    )


@dataclass(frozen=True)
class Use:
    """One operation of a duty. allowed: by the rights that the actor held then; None where no account acted."""

    duty: Duty
    happening: HistoryEntry
    allowed: bool | None


def account_of(label: str) -> int | None:
    """Return the account of an actor's label, `person:7:name`."""
    kind, _colon, rest = label.partition(":")
    number = rest.partition(":")[0]
    return int(number) if kind in ("person", "service") and number.isdecimal() else None


def could(then: AccessAsOf, moment: datetime, environment: Environment) -> list[tuple[Person, list[list[str]]]]:
    """Return everybody who might do one of the duties, with the roles by which, duty by duty."""
    levels, people = then.levels(moment), then.people(moment)
    found: dict[int, list[list[str]]] = {}
    for held in then.with_delegates(moment):
        for place, duty in enumerate(duties()):
            if not any(_might(held, duty, verb, environment, levels) for verb in duty.verbs()):
                continue
            words = word(held.role)
            if held.delegate_for is not None:
                absent = people.get(held.delegate_for)
                words = _("%(role)s, for %(absent)s") % {"role": words, "absent": absent.name if absent else "?"}
            cells = found.setdefault(held.account, [[] for _duty in duties()])
            if words not in cells[place]:
                cells[place].append(words)
    rows = [(people[account], cells) for account, cells in found.items() if account in people]
    return sorted(rows, key=lambda row: row[0].name)


def _might(held: Held, duty: Duty, verb: Verb, environment: Environment, levels: dict[tuple[str, int], str]) -> bool:
    """Tell whether a role held allows a verb of a duty there: a delegate's only what a delegate may do."""
    if held.delegate_for is not None and not verb.by_delegate:
        return False
    place = environment.pk if verb.model in PLACED else None
    return any(
        allows(held, right, _where(right, place, environment), levels) for right in set(duty.rights) & set(verb.rights)
    )


def _where(right: str, place: int | None, environment: Environment) -> int | None:
    """Return the environment that a right is asked for, as `environments.access.may` is; place: where the operation lies."""
    return environment.pk if place is None and right in ENVIRONMENT_PERMISSIONS else place


def uses(then: AccessAsOf, environment: Environment, since: datetime, until: datetime) -> tuple[list[Use], bool]:
    """Return what was done of the duties in a period, newest first, and whether there was more than MOST_USES a duty.

    What has no environment of its own counts for each, and what lies in another one for none but that.
    """
    within, found, more = scope.in_environment(environment.pk), [], False
    for duty in duties():
        anywhere = duty.key in ("change", "grant")
        done = operations(
            [verb.key for verb in duty.verbs()], since, until, None if anywhere else within, limit=MOST_USES + 1
        )
        more |= len(done) > MOST_USES
        places = scope.environments_of(event.object for event in done)
        bound = _bound_for(event.object for event in done if _verb(event).asked is not None)
        for event in done[:MOST_USES]:
            place = environment.pk if event.object.startswith(SWITCH) else places.get(event.object)
            if not anywhere or place in (None, environment.pk):
                found.append(Use(duty, history_entry(event), _allowed(then, event, place, environment, bound)))
    return sorted(found, key=lambda use: use.happening.at, reverse=True), more


def _verb(event: Event) -> Verb:
    return next(verb for verb in VERBS if verb.key == event.operation)


def _bound_for(labels: Iterable[str]) -> dict[str, set[int]]:
    """Return label → keys of the environments where a release goes: what lies in none may be asked in each of them."""
    found, before = defaultdict[str, set[int]](set), f"{Release._meta.label}:"
    if pks := {int(label.removeprefix(before)) for label in labels if label.startswith(before)}:
        targets = Release.objects.filter(pk__in=pks, application__targets__isnull=False)
        for pk, where in targets.values_list("pk", "application__targets__environment"):
            found[f"{before}{pk}"].add(where)
    return found


def _allowed(
    then: AccessAsOf, event: Event, place: int | None, environment: Environment, bound: dict[str, set[int]]
) -> bool | None:
    account = account_of(event.actor)
    if account is None:
        return None
    levels, verb = then.levels(event.at), _verb(event)
    persons = [account, *(then.stood_in_for(account, event.at) if verb.by_delegate else ())]
    held = [h for one in persons for h in then.held(event.at, one)]
    asked = {(right, _where(right, place, environment)) for right in verb.rights}
    if verb.asked is not None:
        asked |= {(right, where) for right in verb.rights for where in bound.get(event.object, ())}
    return any(allows(h, right, where, levels) for h in held for right, where in asked)


def _taken(take: str, persons: list[tuple[Person, list[list[str]]]], used: list[Use]) -> Table:
    """Return the head and the rows of a table to take along: who `could` do what, by which roles; or who `did`."""
    if take == "could":
        head = [_("person"), *(duty.label for duty in duties())]
        return head, ((person.name, *("; ".join(cell) for cell in cells)) for person, cells in persons)
    head = [
        _("number"),
        _("time"),
        _("person"),
        _("operation"),
        _("object"),
        _("outcome"),
        _("permission at that time"),
    ]
    rights = {None: "", True: _("yes"), False: _("no")}
    return head, (
        (h.number, h.at, h.actor, h.what, h.about, word(h.outcome), rights[use.allowed])
        for use in used
        for h in [use.happening]
    )


@page
def access_report(request: HttpRequest) -> HttpResponseBase:
    """Show the matrix, who could and who did, at `at` in `environment`, with the uses of `days` before; `take=could` and
    `take=did` give the tables.
    """
    moment = moment_of(request.GET.get("at", "").strip()[:40], end=True) or now()
    days = min(number_of(request.GET.get("days", "")) or DAYS, MOST_DAYS)
    environments = list(Environment.objects.all())
    asked = number_of(request.GET.get("environment", ""))
    chosen = next((e for e in environments if e.pk == asked), environments[-1] if environments else None)
    then = AccessAsOf()
    levels, names = then.levels(moment), dict(LEVEL_CHOICES)
    matrix = [
        (label, [(names[level], LEVEL_TONES.get(level, "")) if level != "none" else None for level in row])
        for role, label in ROLE_CHOICES
        for row in [[levels.get((role, e.pk), "none") for e in environments]]
    ]
    used, more = uses(then, chosen, moment - timedelta(days=days), moment) if chosen is not None else ([], False)
    persons = could(then, moment, chosen) if chosen is not None else []
    if (take := request.GET.get("take", "")) in ("could", "did") and chosen is not None:
        record_event("audit:export_access", table=take, at=moment.isoformat(), days=days, environment=chosen.slug)
        return sheet.answer(f"access-{take}-{chosen.slug}-{moment:%Y-%m-%d}", *_taken(take, persons, used))
    return show(
        request,
        "pages/access_report/access_report.html",
        _("Access report"),
        moment=moment,
        at=zoned_input(moment),
        input_zone=DEFAULT_ZONE,
        days=days,
        environments=environments,
        chosen=chosen,
        matrix=matrix,
        duties=duties(),
        could=persons,
        uses=used,
        more=MOST_USES if more else 0,
        odd=[use for use in used if use.allowed is False and use.happening.outcome != "refused"],
    )
