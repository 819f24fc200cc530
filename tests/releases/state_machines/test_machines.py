"""Every state × every verb of the eight machines against a table written here, and searches over the edges."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from django_fsm import TransitionNotAllowed

from releases.models import ApprovalRequest, Deployment, DeploymentProcess, Document, Procedure, Release, Rollback, Step
from releases.state_machines.edges import edges, initial
from releases.state_machines.guard import machines

# verb: states it leaves > state it reaches
RELEASE = """
lock_scope: draft > scope_locked
complete_testing: scope_locked > testing_completed
submit: testing_completed > in_review
mark_approved: in_review > approved
complete_final_check: approved > final_check_completed
start: final_check_completed > releasing
start_monitoring: releasing > monitoring
complete: monitoring > completed
send_back: in_review > draft
reject: in_review > rejected
withdraw_request: in_review > testing_completed
reopen_scope: scope_locked testing_completed in_review approved final_check_completed > draft
reschedule: approved final_check_completed > testing_completed
end_approval: in_review approved final_check_completed > testing_completed
cancel: draft scope_locked testing_completed in_review approved final_check_completed > cancelled
close: testing_completed > closed
mark_imported: draft > imported
abort: releasing > testing_completed
mark_rolled_back: releasing monitoring completed failed > rolled_back
fail: releasing monitoring completed > failed
"""
CONSENT = """
mark_approved: in_review > approved
use: approved > used
send_back: in_review > sent_back
reject: in_review > rejected
withdraw_request: in_review > withdrawn
invalidate: in_review approved > invalidated
expire: in_review approved > expired
"""
DEPLOYMENT = """
schedule: requested > scheduled
enqueue: scheduled > queued
start: queued > running
start_verification: running > verifying
start_monitoring: verifying > monitoring
succeed: monitoring > succeeded
supersede: monitoring > succeeded
return_to_scheduled: queued > scheduled
cancel: requested scheduled queued > cancelled
mark_missed: scheduled queued > missed
await_decision: running verifying > awaiting_decision
resume: awaiting_decision > running
resume_verification: awaiting_decision > verifying
stop: running awaiting_decision verifying > stopping
mark_stopped: stopping > stopped
fail: running awaiting_decision verifying > failed
start_rollback: awaiting_decision verifying monitoring succeeded failed stopped > rolling_back
complete_rollback: rolling_back > rolled_back
fail_rollback: rolling_back > rollback_failed
retry_rollback: rollback_failed > rolling_back
resolve: failed stopped rollback_failed > resolved
"""
STEP = """
mark_ready: pending > ready
claim: ready > running
succeed: running > succeeded
claim_next: pending > running
reclaim: running > running
fail: running > failed
mark_unknown: running > outcome_unknown
stop: running > stopped
retry: failed outcome_unknown > ready
skip: failed outcome_unknown > skipped
mark_succeeded: outcome_unknown > succeeded
mark_failed: outcome_unknown > failed
cancel: pending ready on_hold > cancelled
hold: pending ready > on_hold
start_anyway: on_hold > ready
"""
ROLLBACK = """
assess: raised > assessed
authorise: assessed > authorised
start: authorised > running
start_verification: running > verifying
start_monitoring: verifying > monitoring
start_reporting: monitoring verifying > reporting
close: reporting > closed
apply_pre_authorisation: raised assessed > authorised
dismiss: raised assessed authorised > dismissed
fail: running verifying > failed
retry: failed > running
complete_manually: failed > reporting
"""
DOCUMENT = """
check_content: draft > content_checked
approve: content_checked > approved
pass_content_check: draft > approved
pass_approval: draft content_checked > ready_to_publish
prepare_publication: approved > ready_to_publish
publish: ready_to_publish > published
retract: published > retracted
revise: content_checked approved ready_to_publish > draft
"""
PROCEDURE = """
submit: draft > in_review
put_into_effect: in_review > in_effect
retire: in_effect > retired
restore: retired > in_effect
send_back: in_review > draft
discard: draft in_review > discarded
"""
PROCESS = """
submit: draft > in_review
put_into_effect: in_review > in_effect
retire: in_effect > retired
send_back: in_review > draft
discard: draft in_review > discarded
"""
TABLES: list[tuple[Any, str, str]] = [
    (Release, "draft", RELEASE),
    (ApprovalRequest, "in_review", CONSENT),
    (Deployment, "requested", DEPLOYMENT),
    (Step, "pending", STEP),
    (Rollback, "raised", ROLLBACK),
    (Document, "draft", DOCUMENT),
    (Procedure, "draft", PROCEDURE),
    (DeploymentProcess, "draft", PROCESS),
]
BY_MODEL = pytest.mark.parametrize(("model", "first", "table"), TABLES, ids=[t[0].__name__ for t in TABLES])


def written(table: str) -> dict[tuple[str, str], str]:
    """Read a table: (verb, source) → target."""
    found = {}
    for line in table.strip().splitlines():
        verb, rest = line.split(": ")
        sources, target = rest.split(" > ")
        found |= {(verb, source): target for source in sources.split()}
    return found


def reached(model: Any, begin: str, without: str = "") -> set[str]:
    """Return all states that can be reached, by breadth, without passing through one of them."""
    seen, edge = {begin}, {begin}
    while edge:
        edge = {e.target for e in edges(model) if e.source in edge and e.target != without} - seen
        seen |= edge
    return seen


def test_there_are_eight_machines() -> None:
    assert {model.__name__ for model in machines()} == {model.__name__ for model, _first, _table in TABLES}


@BY_MODEL
def test_every_verb_follows_the_table_in_every_state(model: Any, first: str, table: str) -> None:
    expected = written(table)
    verbs = {verb for verb, _source in expected}
    assert {e.verb for e in edges(model)} == verbs
    for state in model.State.values:
        for verb in verbs:
            row = model(state=state)
            if (verb, state) in expected:
                getattr(row, verb)()
                assert row.state == expected[verb, state], (verb, state)
            else:
                with pytest.raises(TransitionNotAllowed):
                    getattr(row, verb)()
                assert row.state == state


@BY_MODEL
def test_every_state_is_reachable_and_reaches_an_end(model: Any, first: str, table: str) -> None:
    assert initial(model) == first
    assert reached(model, first) == set(model.State.values)
    for state in model.State.values:
        assert reached(model, state) & model.ENDS, state
    dead_ends = set(model.State.values) - {e.source for e in edges(model)}
    assert dead_ends <= model.ENDS


@BY_MODEL
def test_every_edge_has_a_label(model: Any, first: str, table: str) -> None:
    for verb in {e.verb for e in edges(model)}:
        method = getattr(model, verb)
        assert (method.__doc__ or "").strip(), f"{model.__name__}.{verb}"
        body = inspect.getsource(inspect.unwrap(method)).split('"""')[-1]
        assert not body.strip(), f"{model.__name__}.{verb} has a body"


@pytest.mark.parametrize(
    ("model", "goal", "gate"),
    [
        (Release, "releasing", "in_review"),
        (Release, "releasing", "approved"),
        (Release, "releasing", "final_check_completed"),
        (ApprovalRequest, "used", "approved"),
        (Deployment, "running", "scheduled"),
        (Deployment, "running", "queued"),
        (Deployment, "succeeded", "verifying"),
        (Step, "succeeded", "running"),
        (Rollback, "running", "authorised"),
        (Rollback, "closed", "reporting"),
        (Document, "published", "ready_to_publish"),
        (Procedure, "in_effect", "in_review"),
        (DeploymentProcess, "in_effect", "in_review"),
    ],
)
def test_no_path_bypasses_a_gate(model: Any, goal: str, gate: str) -> None:
    """Case 2 of the published bypasses: every path to the goal, also an odd one, passes the gate."""
    assert goal in reached(model, initial(model))
    assert goal not in reached(model, initial(model), without=gate)


def test_an_ended_deployment_occupies_nothing() -> None:
    assert not set(Deployment.OCCUPYING) & Deployment.ENDS
    assert not set(Deployment.OCCUPYING) & Deployment.VERIFIED, "a monitored deployment would block a hotfix"
    assert not {"requested", "scheduled"} & set(Deployment.OCCUPYING)


def test_a_release_is_either_active_or_ended() -> None:
    """The states that My tasks looks for by name are complete."""
    assert set(Release.UNDER_WAY) == set(Release.State.values) - Release.ENDS


def test_a_release_is_deployed_to_a_tier_only_from_its_states() -> None:
    preparing = {"draft", "scope_locked", "testing_completed", "in_review", "approved", "final_check_completed"}
    assert {
        "development": preparing,
        "staging": preparing - {"draft"},
        "production": {"final_check_completed", "releasing"},
    } == Release.MAY_RUN
