"""The access report: who was allowed to approve, start and change at a moment, and each use of these rights before."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from audit.clock import now
from audit.ledger.link import link_pending
from audit.models import Event
from audit.operation import record_event
from audit.search import operations
from environments.access_as_of import AccessAsOf, Held, Person, allows
from environments.admin.rights import page, require_shown
from environments.application_scope import applications_of
from environments.language import listed, noted
from environments.models import Application, Environment
from environments.models.role import role_names
from environments.roles import ENVIRONMENT_PERMISSIONS, LEVEL_CHOICES
from environments.times import ZONE
from releases.admin.components import sheet
from releases.admin.components.change_history import HistoryEntry, history_entry
from releases.admin.components.formatting import show, word, zoned_input
from releases.admin.operations import VERBS
from releases.admin.operations.base import Verb
from releases.admin.pages.access.page import LEVEL_TONES
from releases.admin.pages.timeline.page import moment_of, number_of
from releases.models import Release
from releases.reporting.evidence_pack import scope

DAYS = 30
MOST_DAYS = 400
# The page shows at most this many operations of one capability, and says so; a download has all.
MOST_USES = 1000
# Models whose rows lie in an environment, where the right is asked; the emergency stop covers every production one.
PLACED = frozenset(model for model, _path in scope.TO_ENVIRONMENT)
EMERGENCY_STOP = "releases.EmergencyStop:"
Table = tuple[list[Any], Iterable[tuple[Any, ...]]]


@dataclass(frozen=True)
class Capability:
    """A group of operations: its key, its name, and the rights of which any one allows it."""

    key: str
    label: Any
    rights: tuple[str, ...]

    def verbs(self) -> list[Verb]:
        """Return the verbs that need one of the rights."""
        return [verb for verb in VERBS if set(self.rights) & set(verb.rights)]


def capabilities() -> tuple[Capability, ...]:
    """Return the capabilities that the report distinguishes, in the order of a release."""
    return (
        Capability("change", _("Change"), ("plan", "prepare", "edit_changes", "edit_configuration")),
        Capability("approve", _("Approve"), ("approve", "approve_change", "send_back", "reject", "restore_procedure")),
        Capability("start", _("Start deployment"), ("schedule", "start")),
        Capability("verify", _("Verify deployment"), ("verify",)),
        Capability("back", _("Rollback"), ("roll_back", "authorise_rollback", "raise_rollback")),
        Capability("grant", _("Grants"), ("manage_access", "manage_accounts")),
    )


@dataclass(frozen=True)
class Use:
    """One operation of a capability. allowed: by the actor's rights at that time; None where no account acted."""

    capability: Capability
    happening: HistoryEntry
    allowed: bool | None


def account_of(label: str) -> int | None:
    """Return the account of an actor's label, `person:7:name`."""
    kind, _colon, rest = label.partition(":")
    number = rest.partition(":")[0]
    return int(number) if kind in ("person", "service") and number.isdecimal() else None


def could(then: AccessAsOf, moment: datetime, environment: Environment) -> list[tuple[Person, list[list[str]]]]:
    """Return everybody who could use a capability, with the roles that allow it, capability by capability."""
    levels, people = then.levels(moment), then.people(moment)
    names = {application.pk: application for application in Application.objects.all()}
    found: dict[int, list[list[str]]] = {}
    for held in then.with_delegates(moment):
        for place, capability in enumerate(capabilities()):
            if not any(_might(held, capability, verb, environment, levels) for verb in capability.verbs()):
                continue
            words = word(held.role)
            if held.applications is not None:
                words = noted(words, listed(str(names.get(pk, pk)) for pk in sorted(held.applications)))
            if held.delegate_for is not None:
                absent = people.get(held.delegate_for)
                words = _("%(role)s, for %(absent)s") % {"role": words, "absent": absent.name if absent else "?"}
            cells = found.setdefault(held.account, [[] for _capability in capabilities()])
            if words not in cells[place]:
                cells[place].append(words)
    rows = [(people[account], cells) for account, cells in found.items() if account in people]
    return sorted(rows, key=lambda row: row[0].name)


def _might(
    held: Held, capability: Capability, verb: Verb, environment: Environment, levels: dict[tuple[str, int], str]
) -> bool:
    """Tell whether a role held allows a verb of a capability there: a delegate may do only what delegates may."""
    if held.delegate_for is not None and not verb.by_delegate:
        return False
    place = environment.pk if verb.model in PLACED else None
    return any(
        allows(held, right, _where(right, place, environment), levels)
        for right in set(capability.rights) & set(verb.rights)
    )


def _where(right: str, place: int | None, environment: Environment) -> int | None:
    """Return the environment in which a right is asked, like `environments.access.may`; place: the operation's."""
    return environment.pk if place is None and right in ENVIRONMENT_PERMISSIONS else place


def uses(
    then: AccessAsOf, environment: Environment, since: datetime, until: datetime, most: int | None = None
) -> tuple[list[Use], bool]:
    """Return the uses of capabilities in a period, newest first, and whether one has more than `most` (None: all).

    An operation without an environment counts for each one; any other counts for its own only.
    """
    within, found, more = scope.in_environment(environment.pk), [], False
    for capability in capabilities():
        anywhere = capability.key in ("change", "grant")
        done = operations(
            [verb.key for verb in capability.verbs()],
            since,
            until,
            None if anywhere else within,
            limit=most + 1 if most is not None else None,
        )
        more |= most is not None and len(done) > most
        places = scope.environments_of(event.object for event in done)
        bound = _bound_for(event.object for event in done if _verb(event).asked is not None)
        applications = applications_of({event.object for event in done})
        for event in done[:most]:
            place = environment.pk if event.object.startswith(EMERGENCY_STOP) else places.get(event.object)
            if not anywhere or place in (None, environment.pk):
                allowed = _allowed(then, event, place, environment, bound, applications.get(event.object))
                found.append(Use(capability, history_entry(event), allowed))
    return sorted(found, key=lambda use: use.happening.at, reverse=True), more


def _verb(event: Event) -> Verb:
    return next(verb for verb in VERBS if verb.key == event.operation)


def _bound_for(labels: Iterable[str]) -> dict[str, set[int]]:
    """Return label → keys of a release's environments, in each of which an operation without environment counts."""
    found, before = defaultdict[str, set[int]](set), f"{Release._meta.label}:"
    if pks := {int(label.removeprefix(before)) for label in labels if label.startswith(before)}:
        targets = Release.objects.filter(pk__in=pks, application__targets__isnull=False)
        for pk, where in targets.values_list("pk", "application__targets__environment"):
            found[f"{before}{pk}"].add(where)
    return found


def _allowed(
    then: AccessAsOf,
    event: Event,
    place: int | None,
    environment: Environment,
    bound: dict[str, set[int]],
    application: int | None,
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
    counting = [h for h in held if h.counts_for(application)]
    return any(allows(h, right, where, levels) for h in counting for right, where in asked)


def _taken(take: str, persons: list[tuple[Person, list[list[str]]]], used: list[Use]) -> Table:
    """Return the head and the rows of a table to download: who `could` do what, by which roles; or who `did`."""
    if take == "could":
        head = [_("person"), *(capability.label for capability in capabilities())]
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
    """Show the matrix, `could` and `did`, at `at` in `environment`, with the uses of `days` before; `take=could` and
    `take=did` give the tables.
    """
    require_shown(request, "")
    moment = moment_of(request.GET.get("at", "").strip()[:40], end=True) or now()
    days = min(number_of(request.GET.get("days", "")) or DAYS, MOST_DAYS)
    environments = list(Environment.objects.all())
    asked = number_of(request.GET.get("environment", ""))
    chosen = next((e for e in environments if e.pk == asked), environments[-1] if environments else None)
    link_pending(connection)
    then = AccessAsOf()
    levels, names = then.levels(moment), dict(LEVEL_CHOICES)
    matrix = [
        (label, [(names[level], LEVEL_TONES.get(level, "")) if level != "none" else None for level in row])
        for role, label in role_names().items()
        for row in [[levels.get((role, e.pk), "none") for e in environments]]
    ]
    take = request.GET.get("take", "")
    # The table to download has all of them.
    most, since = None if take == "did" else MOST_USES, moment - timedelta(days=days)
    used, more = uses(then, chosen, since, moment, most) if chosen is not None else ([], False)
    persons = could(then, moment, chosen) if chosen is not None else []
    if take in ("could", "did") and chosen is not None:
        record_event("audit:export_access", table=take, at=moment.isoformat(), days=days, environment=chosen.slug)
        return sheet.answer(f"access-{take}-{chosen.slug}-{moment:%Y-%m-%d}", *_taken(take, persons, used))
    return show(
        request,
        "pages/access_report/access_report.html",
        _("Access report"),
        moment=moment,
        at=zoned_input(moment),
        input_zone=ZONE,
        days=days,
        environments=environments,
        chosen=chosen,
        matrix=matrix,
        capabilities=capabilities(),
        could=persons,
        uses=used,
        more=MOST_USES if more else 0,
        odd=[use for use in used if use.allowed is False and use.happening.outcome != "refused"],
    )
