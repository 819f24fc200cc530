"""Outside a window or in a freeze: each start against the windows, freezes and holidays as they were at that moment."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext_lazy

from audit import as_of
from audit.as_of import Life
from environments import calendar
from environments.models import ChangeWindow, CompanyHoliday, Freeze
from releases.audit_tests.base import CHUNK, Outcome, SavedTest, Scope
from releases.gates.base import procedure_of
from releases.models import Deployment, Release


class Openings:
    """The calendar as the ledger knows it, for any moment up to `until`."""

    def __init__(self, until: datetime) -> None:
        self.windows = as_of.lives_of("environments.ChangeWindow", until)
        self.freezes = as_of.lives_of("environments.Freeze", until)
        self.holidays = as_of.lives_of("environments.CompanyHoliday", until)

    def windows_at(self, deployment: Deployment, at: datetime) -> list[ChangeWindow]:
        """Return the windows that counted for a run at a moment."""
        rows = _there(ChangeWindow, self.windows, at)
        replaced = {row.replaces_id for row in rows if row.opened_at is not None}
        return [
            row
            for row in rows
            if row.opened_at is not None
            and row.withdrawn_at is None
            and row.pk not in replaced
            and _reaches(row, deployment)
        ]

    def answer(self, deployment: Deployment, at: datetime) -> calendar.Answer:
        """Say, as the gate did, whether a run might start at a moment."""
        zone = deployment.environment.zone
        days = {row.day: str(row) for row in _there(CompanyHoliday, self.holidays, at) if row.withdrawn_at is None}
        windows = self.windows_at(deployment, at)
        freezes = [
            span.as_freeze(zone)
            for row in _there(Freeze, self.freezes, at)
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


def _there(model: Any, lives: dict[str, Life], at: datetime) -> list[Any]:
    return [as_of.instance(model, past) for life in lives.values() if (past := life.at(at)) is not None]


def _exempt(deployment: Deployment, freeze: Freeze, at: datetime) -> bool:
    """Tell whether two people had made an exception from a freeze for the release, as its gate looks for it."""
    gates = {gate.key for gate in procedure_of(deployment.release).gates if gate.kind == "freeze"} | {"freeze"}
    rows = deployment.release.waivers.filter(environment=deployment.environment_id, gate__in=gates, until__gt=at)
    ended = Q(withdrawn_at=None) | Q(withdrawn_at__gt=at)
    return not freeze.absolute and rows.filter(ended, approved_at__gte=freeze.created_at, approved_at__lte=at).exists()


def _reaches(row: Any, deployment: Deployment) -> bool:
    return row.environment_id == deployment.environment_id and row.application_id in (None, deployment.application_id)


def run(scope: Scope) -> Outcome:
    """Ask for the start of each run in a protected environment."""
    outcome, openings = Outcome(), Openings(scope.until)
    for deployment in scope.runs().iterator(chunk_size=CHUNK):
        outcome.examined += 1
        assert deployment.started_at is not None
        answer = openings.answer(deployment, deployment.started_at)
        if not answer.open:
            outcome.found(deployment, str(deployment), deployment.started_at, answer.reason)
    return outcome


TEST = SavedTest(
    key="outside-window",
    title=gettext_lazy("Outside a window or in a freeze"),
    question=gettext_lazy("Did each run start inside a window, and in no freeze, as the calendar stood then?"),
    columns=(gettext_lazy("run"), gettext_lazy("started"), gettext_lazy("finding")),
    run=run,
)
