"""Deployments of earlier months for the tests of statistics: real rows with an earlier history."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import psycopg
from django.db import connection

from audit.operation import operation
from environments.models import Account, Application, Environment
from releases.models import DecisionRequest, Deployment, Milestone, Procedure, Release, Rollback, Step
from tests.conftest import _named
from tests.releases.admin.seed_deployments import ActingAs, walk


def dated(row: Any, moments: Sequence[tuple[str, datetime]]) -> None:
    """Replace the history of a row by one snapshot per (state, time)."""
    history = row.history.model._meta
    # Only the owner of the tables may.
    address = _named(os.environ["DATABASE_OWNER_URL"], str(connection.settings_dict["NAME"]))
    with psycopg.connect(address, autocommit=True) as owner:
        owner.execute(f"DELETE FROM {history.db_table} WHERE {row._meta.pk.column} = %s", [row.pk])
    for state, at in moments:
        kept = {f.attname: getattr(row, f.attname) for f in row._meta.fields}
        row.history.model(**{**kept, "state": state}, history_date=at, history_type="~").save()


def release(
    acting_as: ActingAs, of: Application, version: str, moments: Sequence[tuple[str, datetime]], kind: str = "regular"
) -> Release:
    """Make a release whose history says that it entered states at times."""
    with acting_as("manager"), operation("test:past") as op:
        made = Release.objects.create(
            application=of, version=version, kind=kind, title="past", author=Account.objects.get(username="manager")
        )
        op.about(made)
    dated(made, moments)
    return made


def ran(
    acting_as: ActingAs,
    of: Application,
    version: str,
    started: datetime,
    *,
    trouble: str = "",
    kind: str = "regular",
    fixed_days: float = 14,
    environment: str = "production",
) -> Deployment:
    """Make a deployment that began at a time, ten minutes long; with two hours of trouble when there is any.

    trouble: `manual` is no trouble: the plan asked a person for a step.
    """
    fixed = started - timedelta(days=fixed_days)
    row = release(
        acting_as,
        of,
        version,
        [("draft", fixed - timedelta(days=2)), ("scope_locked", fixed), ("testing_completed", started)],
        kind,
    )
    person, minutes = Account.objects.get(username="operator"), timedelta(minutes=1)
    moments = [("running", started)]
    with acting_as("operator"), operation("test:past") as op:
        made = Deployment.objects.create(
            release=row,
            application=of,
            environment=Environment.objects.get(slug=environment),
            requested_by=person,
            started_at=started,
            procedure=Procedure.objects.get(state="in_effect"),
        )
        op.about(made)
        walk(made, "schedule", "enqueue", "start")
        if trouble in ("rescued", "resolved", "manual"):
            walk(made, "await_decision")
            moments.append(("awaiting_decision", started + 5 * minutes))
        if trouble == "manual":
            step = Step.objects.create(
                deployment=made,
                phase="deployment",
                ordinal=1,
                step_type="manual",
                parameters={},
                label_ja="一",
                label_en="one",
                decision={"verb": "step:confirm_manual", "name": "Operator", "reason": "done"},
            )
            DecisionRequest.objects.create(
                deployment=made,
                step=step,
                requested_at=started,
                due_at=started,
                on_timeout="keep",
                answer="step:confirm_manual",
                answered_at=started,
            )
            walk(made, "resume")
        if trouble == "rescued":
            Step.objects.create(
                deployment=made,
                phase="deployment",
                ordinal=1,
                step_type="command",
                parameters={},
                label_ja="一",
                label_en="one",
                decision={"verb": "retry", "name": "Operator", "reason": "tried"},
            )
            walk(made, "resume")
        if trouble == "resolved":
            walk(made, "fail", "resolve")
            moments += [("failed", started + 6 * minutes), ("resolved", started + 125 * minutes)]
        else:
            walk(made, "start_verification", "start_monitoring")
            moments.append(("monitoring", started + (125 if trouble == "rescued" else 10) * minutes))
        if trouble == "rolled_back":
            raised = started + 30 * minutes
            way = Rollback.objects.create(
                deployment=made, cause="error_rate", raised_at=raised, restored_at=raised + 120 * minutes
            )
            walk(way, "apply_pre_authorisation", "start", "start_verification", "start_reporting")
            walk(made, "start_rollback", "complete_rollback")
            moments += [("rolling_back", raised), ("rolled_back", raised + 120 * minutes)]
    dated(made, moments)
    return made


def milestone(
    acting_as: ActingAs,
    of: Release,
    key: str,
    due: datetime,
    done: datetime | None,
    guards: str = "mark_approved",
    **more: Any,
) -> Milestone:
    """Make a milestone that was due and done at times."""
    with acting_as("manager"), operation("test:past") as op:
        op.about(of)
        return Milestone.objects.create(
            release=of, key=key, guards=guards, label_ja="承認", label_en="Approval", due_at=due, done_at=done, **more
        )
