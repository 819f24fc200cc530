"""The populations of a period, read from the ledger and checked against the register; and samples of them.

One contains changes, which are numbered when their scope is locked. The other contains deployments that began in a
protected environment, rollbacks among them, numbered along the ledger from its first one.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from django.db import connection
from django.db.models import Max

from audit import as_of
from audit.ledger.link import link_pending
from audit.models import Checkpoint, LedgerHead
from environments.access_as_of import once_protected
from releases.models import ApprovalDecision, Deployment, Release, Rollback, StepAttempt
from releases.reporting.evidence_pack.collected import plain

STATEMENT = "application/vnd.ringi.population.v1+json"
SAMPLE = 25
NEAR = timedelta(minutes=5)  # the largest distance between a start in the register and its operation in the ledger
_NUMBER = re.compile(r"^(FY\d{4})-(\d+)$")

# A change is numbered when its scope is locked; the first time counts.
_FIXED = """
SELECT f.object, f.at, l.number FROM (
    SELECT DISTINCT ON (e.object) e.object, e.at, e.id FROM audit_event e
    WHERE e.operation = 'release:lock_scope' AND e.kind = 'operation' AND e.outcome = 'done' ORDER BY e.object, e.at,
      e.id
) AS f JOIN audit_ledgerentry l ON l.event_id = f.id ORDER BY f.at
"""


# A worker starts a deployment in the operation that claims its first step; the first time counts.
_STARTED = """
SELECT f.object, f.at, l.number FROM (
    SELECT DISTINCT ON (e.object) e.object, e.at, e.id FROM audit_event e
    WHERE e.kind = 'row' AND e.outcome = 'updated' AND (
        e.object >= 'releases.Deployment:' AND e.object < 'releases.Deployment;' AND e.operation = 'step:claim'
        AND convert_from(e.bytes, 'UTF8')::jsonb #>> '{after,started_at}' IS NOT NULL
        OR e.object >= 'releases.Rollback:' AND e.object < 'releases.Rollback;' AND e.operation = 'rollback:start'
        AND convert_from(e.bytes, 'UTF8')::jsonb #>> '{after,started_at}' IS NOT NULL)
    ORDER BY e.object, e.at, e.id
) AS f JOIN audit_ledgerentry l ON l.event_id = f.id ORDER BY l.number
"""
_BEGUN: tuple[tuple[Any, str, str], ...] = ((Deployment, "started_at", ""), (Rollback, "started_at", "deployment__"))


@dataclass(frozen=True)
class Change:
    """One of a population: its number, its release (None when the row is gone), since when it counts, by which event.

    deployment: the row of a production deployment; None for a change, and when the row is gone.
    """

    number: str
    label: str
    release: Release | None
    at: datetime
    event: int
    deployment: Deployment | Rollback | None = None


@dataclass
class Population:
    """The changes, or the production deployments, of a period in the order of their numbers.

    missing: unused numbers between the first and the last; not_in_register: in the ledger but not in the register;
    unexplained: in the register but not in the ledger.
    """

    of: str
    since: datetime
    until: datetime
    changes: list[Change] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    not_in_register: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Tell whether the numbers have no gap and ledger and register agree."""
        return not (self.missing or self.not_in_register or self.unexplained)

    def statement(self) -> dict[str, Any]:
        """Return the content to sign: the count, the ends, a digest of the numbers, and the covering checkpoint."""
        numbers = [change.number for change in self.changes]
        last = max((change.event for change in self.changes), default=0)
        checkpoint = Checkpoint.objects.filter(number__gte=last).order_by("number").first() if last else None
        return {
            "v": 1,
            "type": "population",
            "population": self.of,
            "since": plain(self.since),
            "until": plain(self.until),
            "count": len(numbers),
            "first": numbers[0] if numbers else None,
            "last": numbers[-1] if numbers else None,
            "missing": self.missing,
            "not_in_register": self.not_in_register,
            "unexplained": self.unexplained,
            "digest": sha256("".join(f"{number}\n" for number in numbers).encode()).hexdigest(),
            "checkpoint": checkpoint.note if checkpoint is not None else None,
        }


def _place(number: str) -> tuple[str, int]:
    found = _NUMBER.match(number)
    return (found[1], int(found[2])) if found is not None else (number, 0)


def deployments(since: datetime, until: datetime, *, link: bool = True) -> Population:
    """Return the deployments and rollbacks that began in protected environments in a period (until exclusive). link:
    give pending events their numbers first.
    """
    if link:
        link_pending(connection)
    made, protected = Population("deployments", since, until), once_protected()
    with connection.cursor() as cursor:
        cursor.execute(_STARTED)
        ever = cursor.fetchall()
    begun: dict[str, datetime] = {}
    for model, column, path in _BEGUN:
        found = model._base_manager.filter(**{f"{column}__isnull": False, f"{path}environment__in": protected})
        begun |= {f"{model._meta.label}:{pk}": at for pk, at in found.values_list("pk", column)}
    known = [one for one in ever if one[0] in begun or _lay_in(one[0], protected)]
    rows = _rows(label for label, at, _event in known if since <= at < until)
    for place, (label, at, event) in enumerate(known, 1):
        if since <= at < until:
            row = rows.get(label) if label in begun else None
            release = deployment_of(row).release if row is not None else None
            made.changes.append(Change(f"P-{place:05d}", label, release, at, event, row))
            made.not_in_register += [label] if row is None else []
    recorded = {label: at for label, at, _event in known}
    odd = {label: at for label, at in begun.items() if label not in recorded or abs(recorded[label] - at) > NEAR}
    made.unexplained = sorted(k for k, at in odd.items() if since <= at < until or since <= recorded.get(k, at) < until)
    return made


def deployment_of(row: Deployment | Rollback) -> Deployment:
    """Return the deployment itself, or the one that was rolled back."""
    return row if isinstance(row, Deployment) else row.deployment


def _rows(labels: Iterable[str]) -> dict[str, Deployment | Rollback]:
    wanted, found = set(labels), dict[str, Deployment | Rollback]()
    for model, _column, path in _BEGUN:
        name = model._meta.label
        pks = [int(label.partition(":")[2]) for label in wanted if label.startswith(f"{name}:")]
        related = [f"{path}{one}" for one in ("release__application", "environment", "scheduled_by")]
        rows = model._base_manager.select_related(*related, *(["authorised_by", "raised_by"] if path else []))
        found |= {f"{name}:{row.pk}": row for row in rows.filter(pk__in=pks)}
    return found


def _lay_in(label: str, environments: set[int]) -> bool:
    """Tell whether a deployment or rollback was in one of these environments, even if its row is gone or has moved."""
    values = [state.values for state in as_of.life_of(label).states]
    if label.startswith(f"{Rollback._meta.label}:"):
        return any(_lay_in(f"{Deployment._meta.label}:{one.get('deployment_id')}", environments) for one in values[:1])
    return any(one.get("environment_id") in environments for one in values)


Acted = tuple[str, str, str, datetime | None]


def acted(changes: Sequence[Change]) -> dict[str, Acted]:
    """Return label → approvers and scheduler of a production deployment, the workers that executed it, until when."""
    deployments = {change.label: change.deployment for change in changes if change.deployment is not None}
    pks = {deployment_of(row).pk for row in deployments.values()}
    approved, executed = defaultdict[int | None, dict[str, None]](dict), defaultdict[Any, list[Any]](list)
    decisions = ApprovalDecision.objects.filter(
        approval_request__deployments__in=pks, decision__in=ApprovalDecision.COUNTING
    ).select_related("account")
    for decision in decisions.order_by("pk"):
        approved[decision.approval_request_id][str(decision.account)] = None
    attempts = StepAttempt.objects.filter(step__deployment__in=pks, ended_at__isnull=False).order_by("worker")
    for pk, phase, worker, until in attempts.values_list("step__deployment", "step__phase", "worker", Max("ended_at")):
        executed[pk, phase.startswith("rollback")].append((worker, until))
    found: dict[str, Acted] = {}
    for label, row in deployments.items():
        deployment = deployment_of(row)
        by, scheduled = list(approved[deployment.approval_request_id]), deployment.scheduled_by
        if isinstance(row, Rollback):
            by, scheduled = [str(row.authorised_by)] if row.authorised_by is not None else by, row.raised_by
        names, ends = zip(*executed[deployment.pk, deployment is not row] or [("", None)], strict=True)
        found[label] = ("; ".join(by), str(scheduled or ""), "; ".join(dict.fromkeys(names)), max(ends))
    return found


def population(since: datetime, until: datetime) -> Population:
    """Return the changes that were numbered in a period (since inclusive, until exclusive)."""
    link_pending(connection)
    made = Population("changes", since, until)
    with connection.cursor() as cursor:
        cursor.execute(_FIXED)
        ever = cursor.fetchall()
    fixed = [row for row in ever if row[1] < until]
    releases = Release.objects.select_related("application").in_bulk(
        [int(label.partition(":")[2]) for label, *_ in fixed]
    )
    before: dict[str, int] = {}
    for label, at, event in fixed:
        release = releases.get(int(label.partition(":")[2]))
        number = release.number if release is not None else _number_of(label)
        if release is None and at >= since:
            made.not_in_register.append(number or label)
        year, place = _place(number or "")
        if at < since:
            before[year] = max(before.get(year, 0), place)
        else:
            made.changes.append(Change(number or label, label, release, at, event))
    made.changes.sort(key=lambda change: _place(change.number))
    _gaps(made, before)
    # The scope of a change planned in the period may have been locked after it: then it belongs to a later one.
    known = {label for label, *_ in ever}
    numbered = Release.objects.filter(number__isnull=False, created_at__lt=until).exclude(state="draft")
    for release in numbered.only("pk", "number", "created_at"):
        if f"releases.Release:{release.pk}" not in known and release.created_at >= since:
            made.unexplained.append(str(release.number))
    return made


def _number_of(label: str) -> str | None:
    """Return the number of a row that is gone."""
    numbers = [state.values.get("number") for state in as_of.life_of(label).states]
    return next((number for number in reversed(numbers) if number), None)


def _gaps(made: Population, before: dict[str, int]) -> None:
    places: dict[str, set[int]] = {}
    for change in made.changes:
        year, place = _place(change.number)
        places.setdefault(year, set()).add(place)
    for year, there in sorted(places.items()):
        made.missing += [f"{year}-{n:04d}" for n in range(before.get(year, 0) + 1, max(there)) if n not in there]


def default_seed() -> str:
    """Return a seed that no person chose: the root of the last checkpoint, or the chain while there is none."""
    checkpoint = Checkpoint.objects.order_by("-number").first()
    if checkpoint is not None:
        return bytes(checkpoint.root).hex()[:16]
    head = LedgerHead.objects.first()
    return bytes(head.chain).hex()[:16] if head is not None else "0"


def sample(changes: Sequence[Change], seed: str, size: int = SAMPLE) -> list[Change]:
    """Draw `size` changes: those with the lowest SHA-256 of `seed`, a newline and the number, in that order.

    Anyone can draw the same sample again with a list of numbers, the seed and a hash.
    """
    return sorted(changes, key=lambda change: sha256(f"{seed}\n{change.number}".encode()).hexdigest())[:size]
