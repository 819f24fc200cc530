"""Outside a window or in a freeze: each start against the windows, freezes and holidays of that moment."""

from datetime import date, datetime
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from audit import as_of
from audit.as_of import Life
from environments import calendar
from environments.models import ChangeFreeze, ChangeWindow, Holiday
from releases.gates.base import procedure_of
from releases.models import Deployment, Release
from releases.reporting.audit_tests.base import CHUNK, Outcome, SavedTest, Scope


class Openings:
    """The calendar as the ledger knows it, for any moment up to `until`."""

    def __init__(self, until: datetime) -> None:
        self._rows: dict[tuple[str, datetime], Any] = {}
        self._near: dict[Any, list[calendar.Window]] = {}
        self.windows = as_of.lives_of("environments.ChangeWindow", until)
        self.freezes = as_of.lives_of("environments.ChangeFreeze", until)
        self.holidays = as_of.lives_of("environments.Holiday", until)

    def windows_at(self, deployment: Deployment, at: datetime) -> list[ChangeWindow]:
        """Return the windows that counted for a deployment at a moment."""
        rows = self._there(ChangeWindow, self.windows, at)
        replaced = {row.replaces_id for row in rows if row.in_effect_at is not None}
        return [
            row
            for row in rows
            if row.in_effect_at is not None
            and row.cancelled_at is None
            and row.pk not in replaced
            and _reaches(row, deployment)
            and (not row.from_procedure or row.procedure == deployment.procedure.key)
        ]

    def inside(self, deployment: Deployment, at: datetime) -> bool:
        """Tell whether a moment was inside a window and in no freeze; False means that only `answer` can decide."""
        freezes = (row for row in self._there(ChangeFreeze, self.freezes, at) if row.lifted_at is None)
        if any(span.starts_at <= at < span.ends_at for row in freezes for span in row.spans(at)):
            return False
        days = self._days(at)
        return any(self._held(row, days, at) for row in self.windows_at(deployment, at))

    def _held(self, row: ChangeWindow, days: dict[date, str], at: datetime) -> bool:
        """Compute the windows of a rule near a day once, for everything that started on it."""
        if (extra := row.as_window()) is not None:
            return extra.holds(at)
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
        key = (id(row), midnight, frozenset(days))
        if key not in self._near:
            rule = row.as_rule(days)
            self._near[key] = calendar.windows(rule, midnight, 3) if rule is not None else []
        return any(window.holds(at) for window in self._near[key])

    def _days(self, at: datetime) -> dict[date, str]:
        rows = self._there(Holiday, self.holidays, at)
        return {row.day: str(row) for row in rows if row.removed_at is None}

    def answer(self, deployment: Deployment, at: datetime) -> calendar.Answer:
        """Return the gate's answer: whether a deployment could start at a moment."""
        zone = deployment.environment.zone
        days, windows = self._days(at), self.windows_at(deployment, at)
        freezes = [
            span.as_freeze(zone)
            for row in self._there(ChangeFreeze, self.freezes, at)
            if row.lifted_at is None and _reaches(row, deployment) and not _exempt(deployment, row, at)
            for span in row.spans(at)
        ]
        return calendar.next_opening(
            [rule for row in windows if (rule := row.as_rule(days)) is not None],
            [window for row in windows if (window := row.as_window()) is not None],
            freezes,
            at,
            emergency=deployment.release.kind == Release.Kind.EMERGENCY,
            zone=zone,
        )

    def _there(self, model: Any, lives: dict[str, Life], at: datetime) -> list[Any]:
        there = [past for life in lives.values() if (past := life.at(at)) is not None]
        for past in there:
            if (past.object, past.at) not in self._rows:
                self._rows[past.object, past.at] = as_of.instance(model, past)
        return [self._rows[past.object, past.at] for past in there]


def _exempt(deployment: Deployment, freeze: ChangeFreeze, at: datetime) -> bool:
    """Tell whether two people had approved an exception from a freeze for the release, as its gate looks for it."""
    gates = {gate.key for gate in procedure_of(deployment.release).gates if gate.type == "change_freeze"} | {
        "change_freeze"
    }
    rows = deployment.release.waivers.filter(environment=deployment.environment_id, gate__in=gates, until__gt=at)
    ended = Q(revoked_at=None) | Q(revoked_at__gt=at)
    return not freeze.full and rows.filter(ended, approved_at__gte=freeze.created_at, approved_at__lte=at).exists()


def _reaches(row: Any, deployment: Deployment) -> bool:
    return row.environment_id == deployment.environment_id and row.application_id in (None, deployment.application_id)


def run(scope: Scope) -> Outcome:
    """Check the start of each deployment in a protected environment."""
    outcome, openings = Outcome(), Openings(scope.until)
    for deployment in scope.deployments().iterator(chunk_size=CHUNK):
        outcome.examined += 1
        assert deployment.started_at is not None
        if openings.inside(deployment, deployment.started_at):
            continue
        answer = openings.answer(deployment, deployment.started_at)
        if not answer.open:
            outcome.found(deployment, str(deployment), deployment.started_at, answer.reason)
    return outcome


TEST = SavedTest(
    key="outside-change-window",
    title=_("Deployments outside a change window or in a change freeze"),
    question=_(
        "Did each deployment start inside a change window and outside every change freeze, by the calendar of that "
        "time?"
    ),
    columns=(_("deployment"), _("started"), _("finding")),
    run=run,
)
