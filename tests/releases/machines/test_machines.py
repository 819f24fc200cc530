"""Every state × every verb of the seven machines against a table written here, and searches over the edges."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from django_fsm import TransitionNotAllowed

from releases.machines.edges import edges, initial
from releases.machines.guard import machines
from releases.models import ApprovalRequest, Deployment, Document, Procedure, Release, Rollback, Step

# verb: states it leaves > state it reaches
RELEASE = """
fix_content: draft > content_fixed
confirm_tests: content_fixed > tested
submit: tested > in_review
approve: in_review > approved
confirm: approved > confirmed
start: confirmed > releasing
watch: releasing > monitoring
complete: monitoring > completed
send_back: in_review > draft
reject: in_review > rejected
take_back: in_review > tested
amend: content_fixed tested in_review approved confirmed > draft
postpone: approved confirmed > tested
lapse: in_review approved confirmed > tested
withdraw: draft content_fixed tested in_review approved confirmed > withdrawn
conclude: tested > concluded
record: draft > recorded
stand_down: releasing > tested
roll_back: releasing monitoring completed > rolled_back
abandon: releasing monitoring > failed
"""
CONSENT = """
grant: open > granted
consume: granted > consumed
send_back: open > sent_back
reject: open > rejected
take_back: open > taken_back
void: open granted > void
expire: open granted > expired
"""
DEPLOYMENT = """
schedule: requested > scheduled
queue: scheduled > queued
start: queued > running
verify: running > verifying
watch: verifying > monitoring
succeed: monitoring > succeeded
cut_short: monitoring > succeeded
put_back: queued > scheduled
cancel: requested scheduled queued > cancelled
miss: scheduled queued > missed
hold: running verifying > waiting
resume: waiting > running
recheck: waiting > verifying
stop: running waiting verifying > stopping
stopped: stopping > stopped
fail: running waiting verifying > failed
roll_back: waiting verifying monitoring succeeded failed stopped > rolling_back
restored: rolling_back > rolled_back
falter: rolling_back > rollback_failed
retry: rollback_failed > rolling_back
settle: failed stopped rollback_failed > settled
"""
STEP = """
offer: pending > ready
claim: ready > running
finish: running > done
follow: pending > running
take_over: running > running
fail: running > failed
doubt: running > needs_decision
stop: running > stopped
retry: failed needs_decision > ready
skip: failed needs_decision > skipped
confirm_done: needs_decision > done
give_up: needs_decision > failed
drop: pending ready held > not_run
hold_back: pending ready > held
go_on: held > ready
"""
ROLLBACK = """
assess: raised > assessed
authorise: assessed > authorised
run: authorised > running
verify: running > verifying
watch: verifying > monitoring
report: monitoring verifying > reporting
close: reporting > closed
pre_authorise: raised assessed > authorised
dismiss: raised assessed authorised > dismissed
falter: running verifying > faltered
retry: faltered > running
take_over: faltered > reporting
"""
DOCUMENT = """
check_content: draft > checked
approve: checked > approved
prepare: approved > ready
publish: ready > published
retract: published > retracted
revise: checked approved ready > draft
"""
PROCEDURE = """
submit: draft > in_review
activate: in_review > active
retire: active > retired
send_back: in_review > draft
discard: draft in_review > discarded
"""
TABLES: list[tuple[Any, str, str]] = [
    (Release, "draft", RELEASE),
    (ApprovalRequest, "open", CONSENT),
    (Deployment, "requested", DEPLOYMENT),
    (Step, "pending", STEP),
    (Rollback, "raised", ROLLBACK),
    (Document, "draft", DOCUMENT),
    (Procedure, "draft", PROCEDURE),
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


def test_there_are_seven_machines() -> None:
    assert {model.__name__ for model in machines()} == {model.__name__ for model, _first, _table in TABLES}


@BY_MODEL
def test_every_verb_does_in_every_state_what_the_table_says(model: Any, first: str, table: str) -> None:
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
def test_every_state_is_reached_and_reaches_an_end(model: Any, first: str, table: str) -> None:
    assert initial(model) == first
    assert reached(model, first) == set(model.State.values)
    for state in model.State.values:
        assert reached(model, state) & model.ENDS, state
    dead_ends = set(model.State.values) - {e.source for e in edges(model)}
    assert dead_ends <= model.ENDS


@BY_MODEL
def test_every_edge_says_what_it_means(model: Any, first: str, table: str) -> None:
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
        (Release, "releasing", "confirmed"),
        (ApprovalRequest, "consumed", "granted"),
        (Deployment, "running", "scheduled"),
        (Deployment, "running", "queued"),
        (Deployment, "succeeded", "verifying"),
        (Step, "done", "running"),
        (Rollback, "running", "authorised"),
        (Rollback, "closed", "reporting"),
        (Document, "published", "checked"),
        (Document, "published", "approved"),
        (Procedure, "active", "in_review"),
    ],
)
def test_no_path_leads_round_a_gate(model: Any, goal: str, gate: str) -> None:
    """Case 2 of the published ways round: every path to the goal, also an odd one, passes the gate."""
    assert goal in reached(model, initial(model))
    assert goal not in reached(model, initial(model), without=gate)


def test_an_ended_run_occupies_nothing() -> None:
    assert not set(Deployment.OCCUPYING) & Deployment.ENDS
    assert not set(Deployment.OCCUPYING) & Deployment.VERIFIED, "a watched run would keep a hotfix out"
    assert not {"requested", "scheduled"} & set(Deployment.OCCUPYING)


def test_a_release_is_under_way_or_has_ended() -> None:
    """What My work looks for by name leaves no state out."""
    assert set(Release.UNDER_WAY) == set(Release.State.values) - Release.ENDS


def test_a_release_runs_in_a_tier_only_from_its_states() -> None:
    preparing = {"draft", "content_fixed", "tested", "in_review", "approved", "confirmed"}
    assert {
        "development": preparing,
        "staging": preparing - {"draft"},
        "production": {"confirmed", "releasing"},
    } == Release.MAY_RUN
