"""The findings of each saved test about deployments, access and rules."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from django.urls import reverse

from audit.clock import now
from environments.models import AccessRule, ChangeWindow, DeploymentTarget
from environments.operations.window.create_freeze import freeze
from releases.models import ApprovalDecision, Deployment, Drift, FollowUp, Procedure, StepAttempt, Waiver
from tests.releases.reporting.audit_tests.asking import ask, forge, make, texts


def past_the_ledger(database: str, *statements: str) -> None:
    """Run SQL as the database's superuser with every trigger off."""
    import os

    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    name = conninfo_to_dict(database)["dbname"]
    with psycopg.connect(make_conninfo(os.environ["DATABASE_SERVER_URL"], dbname=name), autocommit=True) as root:
        for statement in statements:
            root.execute(statement)


def test_a_start_outside_every_window_is_named(deployment: Any) -> None:
    """Also with a window that was made afterwards: the calendar counts as it was then."""
    assert texts(ask("outside-change-window")) == []
    forge(deployment, started_at=now())
    ChangeWindow.objects.get(rrule="", environment=deployment.environment)
    assert texts(ask("outside-change-window")) == []
    extra = ChangeWindow.objects.get(rrule="", environment=deployment.environment)
    forge(extra, cancelled_at=now())
    assert texts(ask("outside-change-window")) == []
    forge(deployment, started_at=now())
    (found,) = texts(ask("outside-change-window"))
    assert str(deployment) in found and "The time is outside every change window" in found


def test_a_start_in_a_freeze_is_named_even_if_it_was_lifted_later(deployment: Any, again: Any) -> None:
    from environments.operations.freeze.lift import lift

    moment = now()
    with again.acting_as("manager"):
        made = freeze(
            deployment.environment_id,
            name="年末年始",
            starts_at=moment - timedelta(hours=1),
            ends_at=moment + timedelta(hours=1),
            reason="繁忙期",
        )
    assert texts(ask("outside-change-window")) == []  # it did not exist yet when the deployment started
    forge(deployment, started_at=now())
    with again.acting_as("manager"):
        lift(made.pk, reason="wrong year")
    (found,) = texts(ask("outside-change-window"))
    assert "年末年始" in found


def test_a_start_in_a_recurring_freeze_is_named_and_one_under_an_exception_is_not(deployment: Any, again: Any) -> None:
    from environments.operations.window.create_freeze import freeze_recurring

    local = now().astimezone(ZoneInfo(deployment.environment.zone)) - timedelta(minutes=30)
    with again.acting_as("manager"):
        freeze_recurring(
            deployment.environment_id,
            name="夜間",
            rrule="FREQ=DAILY",
            start=local.time(),
            length_minutes=60,
            first_day=local.date(),
            last_day=local.date() + timedelta(days=9),
            reason="繁忙期",
        )
    forge(deployment, started_at=now())
    (found,) = texts(ask("outside-change-window"))
    assert "夜間" in found
    exception = {
        "environment": deployment.environment,
        "gate": "change_freeze",
        "until": now() + timedelta(hours=1),
        "reason": "x",
    }
    make(Waiver, release=deployment.release, requested_by=again.people["manager"], approved_at=now(), **exception)
    forge(deployment, started_at=now())
    assert texts(ask("outside-change-window")) == []


def test_steps_without_a_change_are_named(deployment: Any) -> None:
    forge(deployment.release, number=None)
    found = texts(ask("steps-without-change"))
    assert len(found) == deployment.steps.count() and "The release has no number." in found[0]


def test_steps_without_approval_are_named(deployment: Any) -> None:
    forge(deployment, approval_request=None)
    said = {line.rpartition(" | ")[2] for line in texts(ask("steps-without-change"))}
    assert said == {"The deployment has no approval request."}


def test_a_step_unknown_to_the_ledger_is_named(deployment: Any, database: str) -> None:
    """Written past the triggers: the table has a row without an event."""
    past_the_ledger(
        database,
        "ALTER TABLE releases_stepattempt DISABLE TRIGGER ALL",
        "INSERT INTO releases_stepattempt (step_id, fencing_token, key, worker, started_at, probe, outcome, "
        "output_digest)"
        " SELECT step_id, 77, key, 'hand', started_at, '', '', '' FROM releases_stepattempt LIMIT 1",
    )
    (found,) = texts(ask("steps-without-change"))
    assert "hand" in found and "The ledger has no record of the step attempt." in found


def test_a_deleted_step_is_named(deployment: Any, database: str) -> None:
    gone = StepAttempt.objects.order_by("pk")[0].pk
    past_the_ledger(
        database,
        "ALTER TABLE releases_stepattempt DISABLE TRIGGER ALL",
        f"DELETE FROM releases_stepattempt WHERE id = {gone}",
    )
    missing = "The row of the step attempt is missing."
    assert texts(ask("steps-without-change")) == [f"releases.StepAttempt:{gone} | — | None | — | {missing}"]


def test_more_attempts_than_query_parameters_are_examined(deployment: Any, database: str) -> None:
    """A query takes 65,535; the ledger of a busy period has more."""
    past_the_ledger(
        database,
        "ALTER TABLE audit_event DISABLE TRIGGER ALL",
        "INSERT INTO audit_event (id, kind, at, actor, channel, operation, object, outcome, reason, tx, bytes)"
        " SELECT gen_random_uuid(), 'row', now(), 'worker:w', 'worker', 'step:claim', 'releases.StepAttempt:' || n,"
        " 'inserted', '', 0, '' FROM generate_series(1000001, 1065536) AS n",
    )
    clean = StepAttempt.objects.count()
    outcome = ask("steps-without-change")
    assert outcome.examined == clean + 65_536 and len(outcome.rows) == 65_536


def test_emergencies_are_counted_and_late_reviews_named(deployment: Any) -> None:
    forge(deployment.release, kind="emergency")
    outcome = ask("emergencies")
    assert outcome.notes[0][1] == "1 / 1 (100.0 %)"
    never = "The review was never recorded as a follow-up action."
    assert {line.rpartition(" | ")[2] for line in texts(outcome)} == {never}
    fields = {
        "application": deployment.application,
        "release": deployment.release,
        "label_ja": "評価",
        "label_en": "Review",
    }
    late = make(FollowUp, **fields, key="full_review", due_at=now() - timedelta(hours=1))
    good = make(FollowUp, **fields, key="retrospective_review", due_at=now() + timedelta(hours=1))
    (found,) = texts(ask("emergencies"))
    assert "The follow-up action is not completed." in found
    forge(late, completed_at=now())
    assert "The follow-up action was completed late." in texts(ask("emergencies"))[0]
    forge(late, completed_at=late.due_at - timedelta(minutes=1))
    forge(good, completed_at=now())
    assert ask("emergencies").rows == [] and ask("emergencies").examined == 1


def test_a_person_who_changed_a_rule_and_used_it_is_named(deployment: Any, people: dict[str, Any]) -> None:
    window = ChangeWindow.objects.get(rrule="", environment=deployment.environment)
    assert texts(ask("rule-changed-then-used")) == []  # the committee approved the window: that is no edit
    first = ask("rule-changed-then-used").examined
    assert first >= 4
    proposer = people["manager"]
    assert window.requested_by == proposer
    forge(deployment, verified_by=proposer)
    (found,) = texts(ask("rule-changed-then-used"))
    assert "Manager | change window" in found and "verified" in found


def test_a_person_who_changed_their_own_roles_rights_is_named(
    deployment: Any, again: Any, people: dict[str, Any]
) -> None:
    from audit.operation import operation

    with again.acting_as("second_operator"), operation("test:matrix") as op:
        rule = AccessRule.objects.get(role="operator", environment=deployment.environment)
        rule.level = "full"
        rule.save()
        op.about(rule)
    assert texts(ask("rule-changed-then-used")) == []  # no deployment used it since
    forge(deployment.monitoring_periods.get(purpose="deployment"), started_at=now())  # the time of its verification
    (found,) = texts(ask("rule-changed-then-used"))
    assert "Second Operator | access matrix" in found


def test_rights_changed_by_a_new_procedure_are_its_authors_change(
    deployment: Any, again: Any, people: dict[str, Any]
) -> None:
    """Not a change by the person whose approval came last, though it was written in that operation."""
    from releases.operations.approval.decide import approve
    from releases.operations.procedure.put_into_effect import load, submit

    active = Procedure.objects.get(state="in_effect")
    raw = active.document.model_dump(mode="json") | {"version": "1.9.0"}
    raw["history"] = [*raw["history"], raw["history"][-1] | {"version": "1.9.0"}]
    cell = raw["access"][0] | {"environment": "production", "level": "limited", "origin": "default"}
    raw["access"] += [cell | {"role": role} for role in ("committee", "release_manager")]
    with again.acting_as("manager"):
        asked = submit(load(active.document.checked(raw), reason="x").pk, reason="x")
    for name in ("committee_a", "committee_b"):
        with again.acting_as(name):
            approve(asked.pk, digest=asked.digest)
    changed = AccessRule.objects.filter(environment=deployment.environment, level="limited").values_list(
        "role", flat=True
    )
    assert {"committee", "release_manager"} <= set(changed)
    forge(
        ApprovalDecision.objects.get(approval_request=deployment.approval_request, account=people["committee_b"]),
        at=now(),
    )
    assert texts(ask("rule-changed-then-used")) == []
    forge(deployment, verified_by=people["manager"])
    forge(deployment.monitoring_periods.get(purpose="deployment"), started_at=now())
    assert any("Manager | access matrix" in line for line in texts(ask("rule-changed-then-used")))


def test_a_person_who_lifted_a_freeze_and_deployed_in_it_is_named(
    deployment: Any, again: Any, people: dict[str, Any]
) -> None:
    from environments.operations.freeze.lift import lift

    moment = now()
    with again.acting_as("manager"):
        made = freeze(
            deployment.environment_id,
            name="凍結",
            starts_at=moment - timedelta(hours=1),
            ends_at=moment + timedelta(hours=1),
            reason="締め処理",
        )
        lift(made.pk, reason="済んだ")
    forge(deployment, started_at=now(), scheduled_by=people["manager"])
    found = texts(ask("rule-changed-then-used"))
    assert any("Manager | lifted change freeze" in line for line in found)


def test_an_author_of_the_procedure_who_approved_under_it_is_named(deployment: Any, people: dict[str, Any]) -> None:
    own = make(
        Procedure,
        version="9.9",
        content=deployment.release.procedure.content,
        digest="0" * 64,
        reason="x",
        author=people["second_operator"],
    )
    forge(deployment.release, procedure=own)
    forge(deployment.monitoring_periods.get(purpose="deployment"), started_at=now())
    assert "Second Operator | release procedure" in texts(ask("rule-changed-then-used"))[0]


def test_inactive_approvers_are_named(deployment: Any, people: dict[str, Any]) -> None:
    """Everybody in the cast was active today; in a hundred days those who never came back are inactive."""
    assert texts(ask("dormant-approvers")) == []
    later = now() + timedelta(days=100)
    found = texts(ask("dormant-approvers", until=later))
    assert {line.partition(" | ")[0] for line in found} == {"Committee A", "Committee B", "Author On Committee"}
    almost = now() + timedelta(days=89)
    assert texts(ask("dormant-approvers", until=almost)) == []


def test_expired_waivers_are_named(deployment: Any, people: dict[str, Any]) -> None:
    fields = {
        "application": deployment.application,
        "release": deployment.release,
        "label_ja": "免除",
        "label_en": "Waiver",
    }
    base = {
        "release": deployment.release,
        "environment": deployment.environment,
        "gate": "coverage",
        "reason": "x",
        "requested_by": people["manager"],
        "decided_by": people["project_manager"],
    }
    start = deployment.started_at
    early = start - timedelta(hours=1)
    debt = make(FollowUp, **fields, key="waiver", due_at=now() + timedelta(days=1))
    waiver = make(Waiver, **base, until=start + timedelta(days=1), approved_at=early, follow_up=debt)
    assert texts(ask("expired-waivers")) == [] and ask("expired-waivers").examined == 1
    debt = forge(debt, due_at=now() - timedelta(minutes=1))
    assert "The follow-up action of the waiver is overdue." in texts(ask("expired-waivers"))[0]
    forge(debt, completed_at=now())
    assert "The follow-up action was completed late." in texts(ask("expired-waivers"))[0]
    before = ask("expired-waivers", until=now() - timedelta(seconds=30))
    assert "The follow-up action of the waiver is overdue." in texts(before)[0]
    assert texts(ask("expired-waivers", since=now())) == []  # that was before
    forge(debt, completed_at=debt.due_at - timedelta(minutes=1))
    assert texts(ask("expired-waivers")) == []
    forge(waiver, until=start - timedelta(minutes=1))
    assert "A deployment used the waiver after the waiver had ended." in texts(ask("expired-waivers"))[0]
    forge(waiver, until=start + timedelta(days=1), follow_up=None)
    assert "The waiver was used, but no follow-up action was recorded." in texts(ask("expired-waivers"))[0]
    forge(waiver, until=early + timedelta(minutes=1))
    assert texts(ask("expired-waivers")) == []  # it ended before any deployment started


def test_a_later_deployment_under_an_expired_waiver_is_named(
    deployment: Any, people: dict[str, Any], database: str
) -> None:
    """A later deployment whose report came in the meantime needed no waiver."""
    gate = next(
        g for g in deployment.release.procedure.document.gates_for(deployment.environment) if g.key == "coverage"
    )
    fields = {
        "application": deployment.application,
        "release": deployment.release,
        "label_ja": "免除",
        "label_en": "Waiver",
    }
    ended = now()
    make(
        Waiver,
        release=deployment.release,
        environment=deployment.environment,
        gate=gate.key,
        reason="x",
        until=ended,
        requested_by=people["manager"],
        decided_by=people["project_manager"],
        approved_at=deployment.started_at - timedelta(hours=1),
        follow_up=make(FollowUp, **fields, key="waiver", due_at=ended + timedelta(days=1)),
    )
    make(
        Deployment,
        release=deployment.release,
        application=deployment.application,
        environment=deployment.environment,
        procedure=deployment.procedure,
        requested_by=deployment.requested_by,
        started_at=now(),
    )
    assert texts(ask("expired-waivers")) == [] and ask("expired-waivers").examined == 1
    past_the_ledger(
        database,
        "SET session_replication_role = replica; ALTER TABLE releases_evidence DISABLE TRIGGER ALL;"
        " DELETE FROM releases_evidence WHERE kind = 'coverage'",
    )
    assert "A deployment used the waiver after the waiver had ended." in texts(ask("expired-waivers"))[0]


def test_each_drift_of_the_period_is_listed_with_its_end(deployment: Any) -> None:
    target = DeploymentTarget.objects.get(application=deployment.application, environment=deployment.environment)
    digests = {"expected": {"code": "a"}, "found": {"code": "b"}, "parts": ["code"]}
    moment = now()
    hour = timedelta(hours=1)
    make(Drift, target=target, found_at=moment - 9 * hour, ended_at=moment - 8 * hour, **digests)
    make(Drift, target=target, found_at=moment - 5 * hour, ended_at=moment - 3 * hour, **digests)
    make(Drift, target=target, found_at=moment - hour, **digests | {"parts": ["configuration", "schema"]})
    found = texts(ask("drift", since=moment - 4 * hour))
    assert [line.split(" | ")[1] for line in found] == ["code", "configuration · database schema"]
    assert [line.endswith("None") for line in found] == [False, True]
    assert len(ask("drift").rows) == 3 and not ask("drift", until=moment - 10 * hour).rows


def test_each_change_under_break_glass_is_named(deployment: Any, database: str, browsers: Any) -> None:
    """Person, reason and change, also for tables without a history."""
    import os

    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    address = make_conninfo(os.environ["DATABASE_OWNER_URL"], dbname=str(conninfo_to_dict(database)["dbname"]))
    assert ask("break-glass-changes").examined > 100 and texts(ask("break-glass-changes")) == []
    for statement in ("UPDATE releases_approvaldecision SET comment = 'x'", "SELECT 1"):
        with psycopg.connect(address) as owner:
            owner.execute("SELECT ringi_break_glass('mori', 'it stood in the way')")
            owner.execute(statement)
    changed, opened = ask("break-glass-changes").rows
    assert "mori" in str(changed.cells[0]) and changed.cells[1] == "it stood in the way"
    assert changed.cells[4:] == ("releases.ApprovalDecision", ApprovalDecision.objects.count())
    assert opened.cells[4:] == (None, 0)
    page = browsers("auditor").get(reverse("audit-test", args=["break-glass-changes"])).content.decode()
    assert "it stood in the way" in page and "releases.ApprovalDecision" in page
