"""The production deployments of a period with the result of each: the data of the four DORA keys.

A deployment belongs to the period in which its first step was claimed, and all later trouble counts for it: a rollback
counts against the deployment that it rolls back, however late it comes.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from environments.models import Environment
from releases.models import DecisionRequest, Deployment, Release, Rollback, Step
from releases.reporting.statistics.spread import Spread

# A manual step of the plan itself is not trouble.
PLANNED = ("", "step:confirm_manual")
# States that only a person can end.
HELPLESS = ("awaiting_decision", "failed", "stopped", "rollback_failed")
OUT = ("monitoring", "rolled_back", "resolved")


@dataclass(frozen=True)
class ProductionDeployment:
    """One production deployment. trouble: `rolled_back`, `resolved`, `rescued`; empty if it succeeded by itself."""

    pk: int
    application: str
    release: str
    release_id: int
    kind: str
    started_at: datetime
    fixed_at: datetime | None
    verified_at: datetime | None
    trouble: str
    trouble_at: datetime | None
    restored_at: datetime | None

    @property
    def evaluated(self) -> bool:
        """Tell whether it has a result; one that is still active counts neither way."""
        return bool(self.trouble) or self.verified_at is not None

    @property
    def lead_seconds(self) -> float | None:
        """Return the time from locking the scope of the change to its verification in production."""
        if self.fixed_at is None or self.verified_at is None:
            return None
        return (self.verified_at - self.fixed_at).total_seconds()

    @property
    def restore_seconds(self) -> float | None:
        """Return how long the trouble lasted; None without trouble and while it lasts."""
        if self.trouble_at is None or self.restored_at is None:
            return None
        return max(0.0, (self.restored_at - self.trouble_at).total_seconds())


@dataclass(frozen=True)
class Keys:
    """The four DORA keys of some deployments; `per_month` and `failed_share` are None where the divisor is zero."""

    verified: int
    per_month: float | None
    lead: Spread
    evaluated: int
    failed: int
    failed_share: float | None
    restore: Spread
    open: int


def production_deployments(
    since: datetime, until: datetime, application: int | None = None
) -> list[ProductionDeployment]:
    """Return the production deployments whose first step was claimed in a period, oldest first, in eight queries."""
    # By the environments' keys: the database knows how few deployments are theirs, but not how few belong to a tier.
    production = list(Environment.objects.filter(tier=Environment.Tier.PRODUCTION).values_list("pk", flat=True))
    rows: Any = Deployment.objects.filter(
        environment__in=production, started_at__gte=since, started_at__lt=until
    ).select_related("release", "application")
    if application is not None:
        rows = rows.filter(application_id=application)
    found = list(rows.order_by("started_at", "pk"))
    ids = rows.values("pk")
    moments = moments_of(Deployment, ids, (*HELPLESS, *OUT))
    fixed = first_moments(Release, rows.values("release_id"), ("scope_locked",))
    helped = Step.objects.filter(deployment__in=ids).exclude(decision={})
    decided = set(
        helped.exclude(step_type="manual", decision__verb="step:confirm_manual").values_list("deployment_id", flat=True)
    )
    asked: dict[int, list[tuple[str, str]]] = defaultdict(list)
    decision_requests = DecisionRequest.objects.filter(deployment__in=ids).order_by("pk")
    for pk, kind, answer in decision_requests.values_list("deployment_id", "step__step_type", "answer"):
        asked[pk].append((kind, answer))
    rollbacks: dict[int, list[Rollback]] = defaultdict(list)
    carried_out: Any = Rollback.objects.filter(deployment__in=ids).exclude(
        state__in=["dismissed", "raised", "assessed"]
    )
    for rollback in carried_out.order_by("raised_at"):
        rollbacks[rollback.deployment_id].append(rollback)
    return [
        _production_deployment(
            row,
            _unplanned(moments[row.pk], asked[row.pk]),
            fixed.get((row.release_id, "scope_locked")),
            row.pk in decided,
            rollbacks[row.pk],
        )
        for row in found
    ]


def _unplanned(moments: list[tuple[datetime, str]], asked: list[tuple[str, str]]) -> list[tuple[datetime, str]]:
    """Leave out waits for a manual step. asked: (step type, answer), one for each wait in order."""
    requests = iter(asked)
    return [
        (at, state)
        for at, state in moments
        if state != "awaiting_decision" or not ((row := next(requests, ("", "-")))[0] == "manual" and row[1] in PLANNED)
    ]


def moments_of(model: type[Any], ids: Any, states: tuple[str, ...]) -> dict[int, list[tuple[datetime, str]]]:
    """Return for each row the times at which its history first shows one of some states, in order.

    ids: a query for the keys, not a list: a period may hold more of them than a query takes values.
    """
    found: dict[int, list[tuple[datetime, str]]] = defaultdict(list)
    before: dict[int, str] = {}
    rows = model.history.filter(id__in=ids).order_by("history_date", "history_id")
    for pk, state, at in rows.values_list("id", "state", "history_date").iterator():
        if before.get(pk) != state and state in states:
            found[pk].append((at, state))
        before[pk] = state
    return found


def first_moments(model: type[Any], ids: Any, states: tuple[str, ...]) -> dict[tuple[int, str], datetime]:
    """Return (row, state) → the time of its first entry into it."""
    found: dict[tuple[int, str], datetime] = {}
    for pk, moments in moments_of(model, ids, states).items():
        for at, state in moments:
            found.setdefault((pk, state), at)
    return found


def _production_deployment(
    row: Any, moments: list[tuple[datetime, str]], fixed_at: datetime | None, decided: bool, rollbacks: list[Rollback]
) -> ProductionDeployment:
    verified_at = next((at for at, state in moments if state == "monitoring"), None)
    helpless_at = next((at for at, state in moments if state in HELPLESS), None)
    trouble = ""
    if rollbacks or row.state in ("rolling_back", "rolled_back", "rollback_failed"):
        trouble = "rolled_back"
    elif row.state in ("resolved", "failed", "stopped"):
        trouble = "resolved"
    elif helpless_at is not None or decided:
        trouble = "rescued"
    trouble_at = min(filter(None, [helpless_at, *(rollback.outage_began_at for rollback in rollbacks)]), default=None)
    restored_at = None
    if trouble_at is not None:
        restored = [rollback.restored_at for rollback in rollbacks if rollback.restored_at is not None]
        out = (at for at, state in moments if state in OUT and at >= trouble_at)
        restored_at = restored[-1] if restored else next(out, None)
    return ProductionDeployment(
        pk=row.pk,
        application=str(row.application),
        release=str(row.release.version),
        release_id=row.release_id,
        kind=row.release.kind,
        started_at=row.started_at,
        fixed_at=fixed_at,
        verified_at=verified_at,
        trouble=trouble,
        trouble_at=trouble_at,
        restored_at=restored_at,
    )


def keys_of(some: list[ProductionDeployment], months: float) -> Keys:
    """Return the four keys of some deployments over so many months."""
    verified = sum(1 for one in some if one.verified_at is not None)
    evaluated = [one for one in some if one.evaluated]
    failed = [one for one in evaluated if one.trouble]
    return Keys(
        verified=verified,
        per_month=verified / months if months > 0 else None,
        lead=Spread.of(one.lead_seconds for one in some),
        evaluated=len(evaluated),
        failed=len(failed),
        failed_share=len(failed) / len(evaluated) if evaluated else None,
        restore=Spread.of(one.restore_seconds for one in failed),
        open=sum(1 for one in failed if one.trouble_at is not None and one.restored_at is None),
    )
