"""From the first draft to locked scope, testing and the ways to end: refusals, and the records of each operation."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection

from audit.actor import acting
from audit.clock import now
from audit.models import Event
from audit.operation import operation
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible
from releases.models import Release
from releases.operations.checklist.sign import sign
from releases.operations.release.copy import copy
from releases.operations.release.plan import active_procedure, add_change, edit, plan, set_configuration
from releases.operations.release.prepare import cancel, close, complete_testing, lock_scope, next_number, reopen_scope
from releases.operations.release.select_commit import select_commit
from tests.releases.gates.asking import COMMAND, alter, make, mark_deployed, shown, walk


def filled(world: Any, version: str, *kinds: str, **fields: Any) -> Release:
    """A draft with everything that locking the scope needs, for a version that need not have a tag."""
    with world.acting_as("manager"):
        release = plan(application_id=world.application.pk, version=version, title=version)
        for kind in kinds or ("feature",):
            add_change(release.pk, kind=kind, text="a change")
    given = dict.fromkeys(Release.APPLICATION_FIELDS, "as written") | {"risk": "low", "branch": "release/1.3"}
    given |= {"commit": world.built.commits["v1.3.0"], "tree": world.built.trees["v1.3.0"]}
    given["configurations"] = {slug: row.pk for slug, row in world.configurations.items()}
    return alter(release, **given | {"scheduled_start_at": now(), "scheduled_end_at": now()} | fields)


def test_a_new_release_is_a_draft_with_the_steps_of_the_procedure(world: Any) -> None:
    with world.acting_as("manager"):
        release = plan(application_id=world.application.pk, version="１.3.0", title="Tags")
    assert (release.state, release.version, release.tag) == ("draft", "1.3.0", "v1.3.0")
    assert release.author == world.people["manager"] and release.number is None
    assert [step["step_type"] for step in release.step_plan["deployment"]] == [
        "backup",
        "maintenance_mode",
        "code_deploy",
        "database_update",
        "configuration_update",
        "service_control",
    ]


def test_the_default_without_a_response_starts_with_the_procedures_value(world: Any) -> None:
    active = active_procedure()
    raw = active.document.model_dump(mode="json")
    raw["rollback"]["decision_request_on_timeout"] = "keep"
    alter(active, content=raw)
    with world.acting_as("manager"):
        first = plan(application_id=world.application.pk, version="1.3.0", title="Tags")
        second = copy(first.pk, version="1.4.0")
    assert (first.on_timeout, second.on_timeout) == ("keep", "keep")


@pytest.mark.parametrize("name", ["developer", "operator", "committee_a", "auditor", "outsider", "ci"])
def test_other_roles_may_not_plan(world: Any, name: str) -> None:
    with world.acting_as(name), pytest.raises(NotPermitted):
        plan(application_id=world.application.pk, version="1.3.0", title="x")
    assert not Release.objects.exists()


def test_a_version_is_valid_and_planned_once(world: Any) -> None:
    with world.acting_as("manager"):
        first = plan(application_id=world.application.pk, version="1.3.0", title="x")
        with pytest.raises(InvalidInput, match="already"):
            plan(application_id=world.application.pk, version="１.３.0", title="x")
        for text in ("1.3", "latest", ""):
            with pytest.raises(InvalidInput):
                plan(application_id=world.application.pk, version=text, title="x")
        with pytest.raises(
            InvalidInput, match="An emergency release needs one of these criteria: security_vulnerability"
        ):
            plan(application_id=world.application.pk, version="1.3.1", title="x", kind="emergency")
        cancel(first.pk, reason="not needed")
        plan(application_id=world.application.pk, version="1.3.0", title="again, after it was withdrawn")


def test_only_named_fields_of_a_draft_are_edited(world: Any) -> None:
    release = world.planned()
    with world.acting_as("manager"):
        for name in (
            "state",
            "number",
            "author",
            "procedure",
            "plan",
            "scheduled_start_at",
            "configurations",
            "tag_object",
        ):
            with pytest.raises(InvalidInput, match="These fields cannot be edited"):
                edit(release.pk, fields={name: "x"})
        with pytest.raises(InvalidInput):
            add_change(release.pk, kind="miracle", text="x")
        with pytest.raises(InvalidInput):
            set_configuration(release.pk, configuration_id=0)
        with pytest.raises(InvalidInput):
            select_commit(release.pk, branch="main", revision="v9.9.9")
        lock_scope(release.pk)
        for act in (
            lambda: edit(release.pk, fields={"title": "x"}),
            lambda: add_change(release.pk, kind="fix", text="x"),
            lambda: set_configuration(release.pk, configuration_id=world.configurations["production"].pk),
        ):
            with pytest.raises(NotPossible):
                act()
    for name in ("developer", "committee_a", "auditor"):
        with world.acting_as(name), pytest.raises(NotPermitted):
            edit(release.pk, fields={"title": "x"})


def test_every_editor_is_recorded(world: Any) -> None:
    release = world.planned()
    assert {a.username for a in release.editors.all()} == {"developer", "author_on_committee"}


def test_locking_the_scope_pins_procedure_number_plan_and_documents(world: Any) -> None:
    release = world.planned()
    with world.acting_as("manager"):
        fixed = lock_scope(release.pk)
    fixed = world.fresh(fixed)
    assert fixed.state == "scope_locked" and fixed.procedure.state == "in_effect"
    assert fixed.number.startswith("FY") and fixed.number.endswith("-0001")
    assert fixed.checklist.count() == 6
    assert {d.kind for d in fixed.documents.all()} == {"release_notes", "changelog", "technical_documents"}
    assert "Datasets can be tagged" in fixed.documents.get(kind="changelog").body
    assert fixed.milestones.get(guards="lock_scope").done_by == world.people["manager"]


def test_locking_the_scope_names_missing_parts(world: Any) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"impact": "", "rollback_plan": " "}, "impact, rollback plan"),
        ({"commit": ""}, "commit"),
        ({"scheduled_start_at": None}, "No scheduled start"),
        ({"configurations": {}}, "Production"),
        ({"impact": "", "scheduled_start_at": None, "configurations": {}}, "impact.*No scheduled start.*Production"),
    ]
    release = filled(world, "1.3.0")
    for fields, named in cases:
        kept = {name: getattr(release, name) for name in fields}
        alter(release, **fields)
        with world.acting_as("manager"), pytest.raises(InvalidInput, match=named):
            lock_scope(release.pk)
        alter(release, **kept)
    with acting(COMMAND), operation("test:clear", (Release, release.pk)):
        release.changes.all().delete()
    with world.acting_as("manager"), pytest.raises(InvalidInput, match="no change"):
        lock_scope(release.pk)
    fresh = world.fresh(release)
    assert fresh.state == "draft" and fresh.number is None and not fresh.checklist.exists()


@pytest.mark.parametrize(
    ("version", "kinds", "fits"),
    [
        ("1.3.0", ("breaking",), False),
        ("2.0.0", ("breaking",), True),
        ("1.2.1", ("feature",), False),
        ("1.3.0", ("feature", "fix"), True),
        ("1.2.1", ("fix",), True),
        ("1.1.9", ("fix",), False),
        ("1.3.0-beta.1", ("feature",), False),
    ],
)
def test_the_version_must_rise_with_its_changes(world: Any, version: str, kinds: tuple[str, ...], fits: bool) -> None:
    mark_deployed(world, "1.2.0")
    release = filled(world, version, *kinds)
    with world.acting_as("manager"):
        if fits:
            assert lock_scope(release.pk).state == "scope_locked"
        else:
            with pytest.raises(InvalidInput):
                lock_scope(release.pk)
            assert world.fresh(release).state == "draft"


def test_a_late_milestone_blocks_its_edge(world: Any) -> None:
    from datetime import timedelta

    release = world.planned()
    alter(release.milestones.get(guards="lock_scope"), due_at=now() - timedelta(days=1), due_immediately=False)
    with world.acting_as("manager"), pytest.raises(GateNotPassed, match="is overdue. Move .* to a later change window"):
        lock_scope(release.pk)


def test_release_numbers_have_no_gaps_after_a_failed_operation(world: Any) -> None:
    first = filled(world, "1.3.0")
    with world.acting_as("manager"):
        one = lock_scope(first.pk)
    broken = filled(world, "1.3.1")
    with acting(COMMAND), pytest.raises(GateNotPassed), operation("test:break", (Release, broken.pk)) as op:
        op.get(Release).number = next_number(now())
        op.get(Release).save()
        raise GateNotPassed("no")
    with world.acting_as("manager"):
        cancel(first.pk, reason="a number once given is not given again")
        two = lock_scope(broken.pk)
        reopen_scope(broken.pk, reason="again")
        again = lock_scope(broken.pk)
    assert [row.number[-4:] for row in (one, two, again)] == ["0001", "0002", "0002"]


def test_release_numbers_have_no_gaps_with_four_concurrent_operations(world: Any) -> None:
    drafts = [filled(world, f"1.{minor}.0") for minor in range(3, 7)]
    ready = threading.Barrier(4)
    faults: list[BaseException] = []

    def fix(pk: int) -> None:
        try:
            with world.acting_as("manager"):
                ready.wait(20)
                lock_scope(pk)
        except BaseException as fault:
            faults.append(fault)
        finally:
            connection.close()

    threads = [threading.Thread(target=fix, args=(draft.pk,)) for draft in drafts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not faults
    assert sorted(world.fresh(draft).number[-4:] for draft in drafts) == ["0001", "0002", "0003", "0004"]


def test_the_fiscal_year_begins_in_april_in_japan(database: str) -> None:
    from datetime import UTC, datetime

    from django.db import transaction

    with transaction.atomic():
        assert next_number(datetime(2027, 3, 31, 14, 59, tzinfo=UTC)) == "FY2026-0001"
        assert next_number(datetime(2027, 3, 31, 15, 0, tzinfo=UTC)) == "FY2027-0001"


def test_testing_is_completed_only_with_evidence_and_verified_deployments(world: Any) -> None:
    release = world.planned()
    with world.acting_as("manager"):
        lock_scope(release.pk)
        with pytest.raises(GateNotPassed) as closed:
            complete_testing(release.pk)
    text = " ".join(closed.value.reasons)
    assert "no evidence" in text and "Development" in text and "Not signed" in text
    assert world.fresh(release).state == "scope_locked"


def test_editing_clears_the_checklist_signatures(world: Any) -> None:
    release = world.planned()
    with world.acting_as("manager"):
        lock_scope(release.pk)
    item = release.checklist.first()
    with world.acting_as("operator"):
        with pytest.raises(InvalidInput):
            sign(item.pk, digest=shown(item), evidence=" ")
        sign(item.pk, digest=shown(item), evidence="the report of Friday")
        with pytest.raises(NotPossible):
            sign(item.pk, digest=shown(item), evidence="again")
    with world.acting_as("manager"):
        reopen_scope(release.pk, reason="a title was wrong")
        edit(release.pk, fields={"title": "better"})
    assert world.fresh(item).signed_at is None
    with world.acting_as("operator"), pytest.raises(NotPossible):
        sign(item.pk, digest=shown(item), evidence="in a draft")


def test_only_a_pre_release_is_closed(world: Any) -> None:
    release = filled(world, "1.3.0")
    walk(release, "lock_scope", "complete_testing")
    with world.acting_as("manager"), pytest.raises(NotPossible, match="production"):
        close(release.pk)
    beta = filled(world, "1.3.0-beta.1", kind="pre_release", scheduled_start_at=None)
    with world.acting_as("manager"):
        lock_scope(beta.pk)
        with pytest.raises(GateNotPassed, match="verified"):
            complete_testing(beta.pk)
        world.verified_deployment(beta, "development")
        complete_testing(beta.pk)
        assert close(beta.pk).state == "closed"


def test_cancelling_cancels_waiting_deployments_and_is_refused_during_an_active_one(world: Any) -> None:
    deployment = world.scheduled()
    release = deployment.release
    running = make(
        type(deployment),
        release=release,
        application=release.application,
        environment=deployment.environment,
        requested_by=world.people["operator"],
    )
    walk(running, "schedule", "enqueue", "start")
    with world.acting_as("manager"):
        for act in (cancel, reopen_scope):
            with pytest.raises(NotPossible, match="A deployment is in progress in the protected environment"):
                act(release.pk, reason="changed our mind")
    walk(running, "fail", "resolve")
    with world.acting_as("manager"):
        cancel(release.pk, reason="changed our mind")
    assert world.fresh(release).state == "cancelled"
    assert world.fresh(deployment).state == "cancelled"
    assert world.fresh(release.approval_requests.get()).state == "invalidated"
    event = Event.objects.filter(operation="release:cancel", kind="operation").get()
    assert event.reason == "changed our mind" and event.actor.endswith(":Manager")


def test_concurrent_reopening_and_approvals_leave_no_approval_to_a_draft(world: Any) -> None:
    """Case 7: whichever comes first, a reopened release has no live request and no completed approval."""
    from audit.refusals import OperationRefused
    from releases.operations.approval.decide import approve

    release, approval_request = world.submitted()
    ready, outcomes = threading.Barrier(9), []

    def act(who: str) -> None:
        try:
            with world.acting_as(who):
                ready.wait(20)
                if who == "manager":
                    reopen_scope(release.pk, reason="one more line")
                else:
                    approve(approval_request.pk, digest=approval_request.digest)
                outcomes.append((who, "done"))
        except OperationRefused as refused:
            outcomes.append((who, refused.kind))
        finally:
            connection.close()

    names = ["manager", *("committee_a", "committee_b") * 4]
    threads = [threading.Thread(target=act, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(outcomes) == 9 and ("manager", "done") in outcomes
    assert world.fresh(release).state == "draft"
    assert (world.fresh(approval_request).state, world.fresh(approval_request).invalidated_by) == (
        "invalidated",
        "scope_reopened",
    )
    assert not release.approval_requests.filter(state__in=["in_review", "approved"]).exists()


def test_each_operation_on_a_document_records_its_time(world: Any) -> None:
    from releases.operations.document import review
    from tests.releases.gates.asking import shown

    release, seen = world.planned(), []
    with world.acting_as("manager"):
        lock_scope(release.pk)
    document = release.documents.first()
    for who, verb in (("developer", "write"), ("operator", "check_content"), ("manager", "approve")):
        given = {"body": "what changes"} if verb == "write" else {"digest": shown(world.fresh(document))}
        with world.acting_as(who):
            getattr(review, verb)(document.pk, **given)
        seen.append(world.fresh(document).updated_at)
    assert document.updated_at < seen[0] < seen[1] < seen[2]
