"""What each saved test about runs, access and rules finds when it is there."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from django.urls import reverse

from audit.clock import now
from environments.models import AccessRule, ChangeWindow, DeploymentTarget, Environment
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


def test_a_start_outside_every_window_is_named(run: Any) -> None:
    """Also by a window that was made afterwards: the calendar counts as it stood then."""
    assert texts(ask("outside-change-window")) == []
    forge(run, started_at=now())
    ChangeWindow.objects.get(rrule="", environment=run.environment)
    assert texts(ask("outside-change-window")) == []
    extra = ChangeWindow.objects.get(rrule="", environment=run.environment)
    forge(extra, cancelled_at=now())
    assert texts(ask("outside-change-window")) == []
    forge(run, started_at=now())
    (found,) = texts(ask("outside-change-window"))
    assert str(run) in found and "The time is outside every change window" in found


def test_a_start_in_a_freeze_is_named_though_it_was_lifted_later(run: Any, again: Any) -> None:
    from environments.operations.freeze.lift import lift

    moment = now()
    with again.acting_as("manager"):
        made = freeze(
            run.environment_id, name="年末年始", starts_at=moment - timedelta(hours=1), ends_at=moment + timedelta(hours=1),
            reason="繁忙期",
        )  # fmt: skip
    assert texts(ask("outside-change-window")) == []  # it was not there yet when the run started
    forge(run, started_at=now())
    with again.acting_as("manager"):
        lift(made.pk, reason="wrong year")
    (found,) = texts(ask("outside-change-window"))
    assert "年末年始" in found


def test_a_start_in_a_recurring_freeze_is_named_and_one_under_an_exception_is_not(run: Any, again: Any) -> None:
    from environments.operations.window.create_freeze import freeze_recurring

    local = now().astimezone(ZoneInfo(run.environment.zone)) - timedelta(minutes=30)
    with again.acting_as("manager"):
        freeze_recurring(
            run.environment_id, name="夜間", rrule="FREQ=DAILY", start=local.time(), length_minutes=60,
            first_day=local.date(), last_day=local.date() + timedelta(days=9), reason="繁忙期",
        )  # fmt: skip
    forge(run, started_at=now())
    (found,) = texts(ask("outside-change-window"))
    assert "夜間" in found
    exception = {"environment": run.environment, "gate": "change_freeze", "until": now() + timedelta(hours=1), "reason": "x"}  # fmt: skip
    make(Waiver, release=run.release, requested_by=again.people["manager"], approved_at=now(), **exception)
    forge(run, started_at=now())
    assert texts(ask("outside-change-window")) == []


def test_steps_without_a_change_are_named(run: Any) -> None:
    forge(run.release, number=None)
    found = texts(ask("steps-without-change"))
    assert len(found) == run.steps.count() and "The release has no number." in found[0]


def test_steps_without_approval_are_named(run: Any) -> None:
    forge(run, approval_request=None)
    said = {line.rpartition(" | ")[2] for line in texts(ask("steps-without-change"))}
    assert said == {"The deployment has no approval request."}


def test_a_step_that_the_ledger_does_not_know_is_named(run: Any, database: str) -> None:
    """Written past the triggers: the table has a row that no event explains."""
    past_the_ledger(
        database,
        "ALTER TABLE releases_stepattempt DISABLE TRIGGER ALL",
        "INSERT INTO releases_stepattempt (step_id, fencing_token, key, worker, started_at, probe, outcome, output_digest)"
        " SELECT step_id, 77, key, 'hand', started_at, '', '', '' FROM releases_stepattempt LIMIT 1",
    )
    (found,) = texts(ask("steps-without-change"))
    assert "hand" in found and "The ledger has no record of the step attempt." in found


def test_a_step_whose_row_is_gone_is_named(run: Any, database: str) -> None:
    gone = StepAttempt.objects.order_by("pk")[0].pk
    past_the_ledger(
        database,
        "ALTER TABLE releases_stepattempt DISABLE TRIGGER ALL",
        f"DELETE FROM releases_stepattempt WHERE id = {gone}",
    )
    missing = "The row of the step attempt is missing."
    assert texts(ask("steps-without-change")) == [f"releases.StepAttempt:{gone} | — | None | — | {missing}"]


def test_more_attempts_than_a_query_takes_values_are_looked_at(run: Any, database: str) -> None:
    """65,535 it takes; the ledger of a busy period knows more."""
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


def test_emergencies_are_counted_and_late_reviews_named(run: Any) -> None:
    forge(run.release, kind="emergency")
    outcome = ask("emergencies")
    assert outcome.notes[0][1] == "1 / 1 (100.0 %)"
    never = "The review was never recorded as a follow-up action."
    assert {line.rpartition(" | ")[2] for line in texts(outcome)} == {never}
    owed = {"application": run.application, "release": run.release, "label_ja": "評価", "label_en": "Review"}
    late = make(FollowUp, **owed, key="full_review", due_at=now() - timedelta(hours=1))
    good = make(FollowUp, **owed, key="retrospective_review", due_at=now() + timedelta(hours=1))
    (found,) = texts(ask("emergencies"))
    assert "The follow-up action is not completed." in found
    forge(late, completed_at=now())
    assert "The follow-up action was completed late." in texts(ask("emergencies"))[0]
    forge(late, completed_at=late.due_at - timedelta(minutes=1))
    forge(good, completed_at=now())
    assert ask("emergencies").rows == [] and ask("emergencies").examined == 1


def test_whoever_changed_a_rule_and_used_it_is_named(run: Any, people: dict[str, Any]) -> None:
    window = ChangeWindow.objects.get(rrule="", environment=run.environment)
    assert texts(ask("rule-changed-then-used")) == []  # the committee approved the window: that is no edit
    first = ask("rule-changed-then-used").examined
    assert first >= 4
    proposer = people["manager"]
    assert window.requested_by == proposer
    forge(run, verified_by=proposer)
    (found,) = texts(ask("rule-changed-then-used"))
    assert "Manager | change window" in found and "verified" in found


def test_whoever_changed_the_matrix_of_his_own_role_is_named(run: Any, again: Any, people: dict[str, Any]) -> None:
    from audit.operation import operation

    with again.acting_as("second_operator"), operation("test:matrix") as op:
        rule = AccessRule.objects.get(role="operator", environment=run.environment)
        rule.level = "full"
        rule.save()
        op.about(rule)
    assert texts(ask("rule-changed-then-used")) == []  # nothing was used since
    forge(run.monitoring_periods.get(purpose="deployment"), started_at=now())  # which is when it was verified
    (found,) = texts(ask("rule-changed-then-used"))
    assert "Second Operator | access matrix" in found


def test_the_matrix_that_a_new_procedure_brought_is_its_authors_change(
    run: Any, again: Any, people: dict[str, Any]
) -> None:
    """Not his who gave the last consent to it, though it was written in his act."""
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
    changed = AccessRule.objects.filter(environment=run.environment, level="limited").values_list("role", flat=True)
    assert {"committee", "release_manager"} <= set(changed)
    forge(ApprovalDecision.objects.get(approval_request=run.approval_request, account=people["committee_b"]), at=now())
    assert texts(ask("rule-changed-then-used")) == []
    forge(run, verified_by=people["manager"])
    forge(run.monitoring_periods.get(purpose="deployment"), started_at=now())
    assert any("Manager | access matrix" in line for line in texts(ask("rule-changed-then-used")))


def test_whoever_lifted_a_freeze_and_ran_in_it_is_named(run: Any, again: Any, people: dict[str, Any]) -> None:
    from environments.operations.freeze.lift import lift

    moment = now()
    with again.acting_as("manager"):
        made = freeze(
            run.environment_id, name="凍結", starts_at=moment - timedelta(hours=1), ends_at=moment + timedelta(hours=1),
            reason="締め処理",
        )  # fmt: skip
        lift(made.pk, reason="済んだ")
    forge(run, started_at=now(), scheduled_by=people["manager"])
    found = texts(ask("rule-changed-then-used"))
    assert any("Manager | lifted change freeze" in line for line in found)


def test_the_author_of_the_procedure_who_approved_under_it_is_named(run: Any, people: dict[str, Any]) -> None:
    own = make(
        Procedure, version="9.9", content=run.release.procedure.content, digest="0" * 64, reason="x",
        author=people["second_operator"],
    )  # fmt: skip
    forge(run.release, procedure=own)
    forge(run.monitoring_periods.get(purpose="deployment"), started_at=now())
    assert "Second Operator | release procedure" in texts(ask("rule-changed-then-used"))[0]


def test_approvers_who_sleep_are_named(run: Any, people: dict[str, Any]) -> None:
    """All of the cast acted today; in a hundred days those who never came back are asleep."""
    assert texts(ask("dormant-approvers")) == []
    later = now() + timedelta(days=100)
    found = texts(ask("dormant-approvers", until=later))
    assert {line.partition(" | ")[0] for line in found} == {"Committee A", "Committee B", "Author On Committee"}
    almost = now() + timedelta(days=89)
    assert texts(ask("dormant-approvers", until=almost)) == []


def test_waivers_past_their_date_are_named(run: Any, people: dict[str, Any]) -> None:
    owed = {"application": run.application, "release": run.release, "label_ja": "免除", "label_en": "Waiver"}
    base = {
        "release": run.release, "environment": run.environment, "gate": "coverage", "reason": "x",
        "requested_by": people["manager"], "decided_by": people["project_manager"],
    }  # fmt: skip
    start = run.started_at
    early = start - timedelta(hours=1)
    debt = make(FollowUp, **owed, key="waiver", due_at=now() + timedelta(days=1))
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
    assert texts(ask("expired-waivers")) == []  # it ended before anything ran


def test_a_later_run_that_needed_a_waiver_after_its_end_is_named(
    run: Any, people: dict[str, Any], database: str
) -> None:
    """A run again after it ended, with the report in the meantime, needed none."""
    gate = next(g for g in run.release.procedure.document.gates_for("production") if g.key == "coverage")
    owed = {"application": run.application, "release": run.release, "label_ja": "免除", "label_en": "Waiver"}
    ended = now()
    make(
        Waiver, release=run.release, environment=run.environment, gate=gate.key, reason="x", until=ended,
        requested_by=people["manager"], decided_by=people["project_manager"],
        approved_at=run.started_at - timedelta(hours=1),
        follow_up=make(FollowUp, **owed, key="waiver", due_at=ended + timedelta(days=1)),
    )  # fmt: skip
    make(
        Deployment, release=run.release, application=run.application, environment=run.environment,
        procedure=run.procedure, requested_by=run.requested_by, started_at=now(),
    )  # fmt: skip
    assert texts(ask("expired-waivers")) == [] and ask("expired-waivers").examined == 1
    past_the_ledger(
        database,
        "SET session_replication_role = replica; ALTER TABLE releases_evidence DISABLE TRIGGER ALL;"
        " DELETE FROM releases_evidence WHERE kind = 'coverage'",
    )
    assert "A deployment used the waiver after the waiver had ended." in texts(ask("expired-waivers"))[0]


def test_holders_are_listed_as_of_the_date(run: Any, again: Any, people: dict[str, Any]) -> None:
    from environments.operations.access.grant import confirm, request_role

    before = now()
    with again.acting_as("administrator"):
        grant = request_role(people["tester"].pk, role="operator", reason="夜間", environment_id=run.environment_id)
    with again.acting_as("second_administrator"):
        confirm(grant.pk)
    assert not any("夜間" in line for line in texts(ask("role-holders", until=before)))
    (found,) = [line for line in texts(ask("role-holders")) if "夜間" in line]
    assert found.startswith("Tester | Operator | Production")
    assert ask("role-holders").examined == len(people)


def test_a_superuser_is_named_also_when_he_is_none_any_more(run: Any, database: str, people: dict[str, Any]) -> None:
    past_the_ledger(database, "ALTER TABLE environments_account DROP CONSTRAINT account_no_superuser")
    forge(people["tester"], is_superuser=True)
    found = texts(ask("superusers"))
    assert len(found) == 2 and all("Tester" in line for line in found)
    forge(people["tester"], is_superuser=False)
    (still,) = texts(ask("superusers"))
    assert "The account was a superuser from then on." in still
    assert texts(ask("superusers", since=now())) == []


def test_a_superuser_made_past_the_ledger_is_named(run: Any, database: str) -> None:
    past_the_ledger(
        database,
        "ALTER TABLE environments_account DROP CONSTRAINT account_no_superuser",
        "ALTER TABLE environments_account DISABLE TRIGGER ALL",
        "UPDATE environments_account SET is_superuser = true WHERE username = 'operator'",
    )
    assert texts(ask("superusers")) == ["Operator | None | The account is a superuser now."]


def test_who_may_approve_and_start_is_named(run: Any, again: Any, people: dict[str, Any]) -> None:
    from environments.operations.access.grant import confirm, request_role

    staging = Environment.objects.get(slug="staging")
    for where, expected in ((staging.pk, 0), (run.environment_id, 1)):
        with again.acting_as("administrator"):
            grant = request_role(people["committee_b"].pk, role="operator", reason="x", environment_id=where)
        with again.acting_as("second_administrator"):
            confirm(grant.pk)
        assert len(ask("approve-and-start").rows) == expected
    assert texts(ask("approve-and-start")) == ["Committee B | Production | Committee member, Operator"]


def test_two_accounts_of_one_person_who_may_approve_and_start_are_named(run: Any, people: dict[str, Any]) -> None:
    """As they were one at the end of the period, whatever their numbers are now."""
    forge(people["committee_a"], employee_id="E-1")
    forge(people["operator"], employee_id="ｅ-1")
    while_one = now()
    forge(people["operator"], employee_id="E-2")
    assert texts(ask("approve-and-start")) == []
    (found,) = texts(ask("approve-and-start", until=while_one))
    assert found in (
        "Committee A | Production | Committee member, Operator",
        "Operator | Production | Committee member, Operator",
    )


def test_a_delegate_of_an_approver_who_may_start_is_named(run: Any, again: Any, people: dict[str, Any]) -> None:
    """A delegate approves, and does nothing else in somebody's place."""
    from environments.operations.delegation import request

    for absent, delegate in (("committee_a", "second_operator"), ("operator", "committee_b")):
        with again.acting_as(absent):
            made = request.request_delegation(
                delegator_id=people[absent].pk, delegate_id=people[delegate].pk, starts_at=now(),
                until=now() + timedelta(days=1), reason="休暇",
            )  # fmt: skip
        with again.acting_as("administrator"):
            request.confirm(made.pk)
    assert texts(ask("approve-and-start")) == [
        "Second Operator | Production | Committee member, for Committee A, Operator"
    ]


def test_each_drift_of_the_period_is_listed_with_its_end(run: Any) -> None:
    target = DeploymentTarget.objects.get(application=run.application, environment=run.environment)
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


def test_what_was_changed_under_break_glass_is_named_one_by_one(run: Any, database: str, browsers: Any) -> None:
    """Who, why and what, also where no history is kept of the table."""
    import os

    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    address = make_conninfo(os.environ["DATABASE_OWNER_URL"], dbname=str(conninfo_to_dict(database)["dbname"]))
    assert ask("break-glass-changes").examined > 100 and texts(ask("break-glass-changes")) == []
    for statement in ("UPDATE releases_approvaldecision SET comment = 'x'", "SELECT 1"):
        with psycopg.connect(address) as owner:
            owner.execute("SELECT ringi_break_glass('mori', 'it stood in the way')")
            owner.execute(statement)  # type: ignore[arg-type]
    changed, opened = ask("break-glass-changes").rows
    assert "mori" in str(changed.cells[0]) and changed.cells[1] == "it stood in the way"
    assert changed.cells[4:] == ("releases.ApprovalDecision", ApprovalDecision.objects.count())
    assert opened.cells[4:] == (None, 0)
    page = browsers("auditor").get(reverse("audit-test", args=["break-glass-changes"])).content.decode()
    assert "it stood in the way" in page and "releases.ApprovalDecision" in page
