"""Breadth-first search over the machines of release, approval request and deployment with the rules that fire edges.

The edges are the product's own (`releases.state_machines.edges`), and so are the sets of states (MAY_RUN, OCCUPYING,
FROM …). Only the edges that an operation fires together are restated here, in OPERATIONS; a test reads the operations
and fails when an edge is fired somewhere that FIRED does not list. A world is one release with its latest request, a
deployment to production, a deployment to staging, and the search's own facts.
"""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from releases.models import ApprovalRequest, Deployment, Release
from releases.state_machines.edges import edges
from tests.scenarios.approval_world import OPERATIONS, World, free

ROOT = Path(__file__).resolve().parents[2]
# The operations that fire an edge of the three machines: file under releases/operations, function, row and edge.
FIRED = """
approval/decide.py _refuse approval_request.reject approval_request.send_back release.reject release.send_back
approval/decide.py grant approval_request.mark_approved release.mark_approved
release/end_approval.py cancel_waiting deployment.cancel
release/end_approval.py _invalidate_release release.end_approval; release/end_approval.py _expire_window held.expire
deployment/decide.py fail deployment.fail;
deployment/decide.py stop_within_operation deployment.stop deployment.mark_stopped
deployment/decide.py succeed deployment.succeed; deployment/resolve.py resolve deployment.resolve;
deployment/resolve.py _follow release.abort
step/resume.py _resume deployment.resume deployment.resume_verification
step/resume.py resume_after deployment.start_verification
step/resume.py _resume_waves deployment.start_verification
deployment/enqueue.py enqueue deployment.enqueue; deployment/enqueue.py resolve_lower held.resolve
deployment/enqueue.py return_to_scheduled deployment.return_to_scheduled;
deployment/enqueue.py mark_missed deployment.mark_missed
deployment/schedule.py schedule deployment.schedule; deployment/schedule.py _book other.cancel
deployment/schedule.py cancel deployment.cancel
deployment/mark_stopped.py mark_stopped deployment.mark_stopped
deployment/completion.py mark_release_rolled_back release.mark_rolled_back;
deployment/completion.py leave release.fail
release/end_incomplete.py end_incomplete release.fail
release/pass_stage.py pass_stage release.complete_testing
deployment/verify.py verify deployment.start_monitoring release.start_monitoring;
deployment/superseded.py supersede cut.supersede release.fail;
deployment/completion.py complete_release release.complete
deployed_version/register.py request_registration release.mark_imported;
release/follow.py follow release.end_approval
release/end_approval.py withdraw_open approval_request.withdraw_request
deployment_process/put_into_effect.py put_into_effect other.invalidate
procedure/put_into_effect.py end_other_requests other.invalidate
release/prepare.py final_check_done release.complete_final_check; release/import_tags.py _record release.mark_imported
release/reschedule.py reschedule release.reschedule; release/prepare.py lock_scope release.lock_scope;
release/prepare.py complete_testing release.complete_testing
release/prepare.py close release.close; release/prepare.py reopen_scope release.reopen_scope
release/withdraw_request.py withdraw_request release.withdraw_request; release/prepare.py cancel release.cancel
approval/submit.py _open release.submit; step/outcome.py complete deployment.complete_rollback deployment.fail_rollback
rollback/start.py start_rollback deployment.start_rollback; rollback/start.py retry deployment.retry_rollback
step/claim.py _start deployment.start approval_request.use release.start
step/outcome.py _stopped deployment.mark_stopped
step/outcome.py request_manual deployment.await_decision; step/hold.py await_decision deployment.await_decision;
step/outcome.py _phase_ends deployment.start_verification deployment.start_monitoring
step/outcome.py _trouble deployment.fail_rollback deployment.await_decision deployment.fail
monitoring/end.py _close deployment.succeed;
window/cancel.py cancel approval_request.withdraw_request approval_request.invalidate
"""
ROWS = {"approval_request", "release", "held", "deployment", "other", "cut"}


@cache
def reached() -> dict[World, tuple[World | None, str]]:
    """Return every world that can be reached, with the world before it and the operation between."""
    seen: dict[World, tuple[World | None, str]] = {World(): (None, "")}
    waiting = deque([World()])
    while waiting:
        world = waiting.popleft()
        for name, operation in OPERATIONS.items():
            following = operation(world)
            if following is not None and following not in seen:
                seen[following] = (world, name)
                waiting.append(following)
    return seen


def path(world: World) -> list[str]:
    """Return the operations that lead to a world, for the message of a failure."""
    operations: list[str] = []
    before: World | None = world
    while before is not None:
        before, name = reached()[before]
        operations.append(name)
    return operations[::-1]


def arrows() -> Iterator[tuple[World, str, World]]:
    """Yield every operation from every world that can be reached."""
    for world in reached():
        for name, operation in OPERATIONS.items():
            following = operation(world)
            if following is not None:
                yield world, name, following


def test_a_production_start_needs_an_approval_of_exactly_this_content() -> None:
    starts = 0
    for before, name, after in arrows():
        if before.deployment == "queued" and after.deployment == "running":
            starts += 1
            assert (before.approval_request, before.same) == ("approved", True), (name, path(before))
            assert (after.approval_request, after.used) == ("used", True), (name, path(after))
            assert after.release == "releasing", (name, path(after))
    assert starts, "the search never got that far"


def test_every_deployment_running_in_production_has_used_an_approval() -> None:
    held = set(Deployment.OCCUPYING) - {"queued"}
    assert {w.deployment for w in reached()} >= held | set(Deployment.ENDS), "each state of a deployment is reached"
    for world in reached():
        if world.deployment in held | {"monitoring", "succeeded", "resolved", "rolled_back"}:
            assert world.used, path(world)


def test_a_release_is_live_exactly_when_its_request_is() -> None:
    wanted = {"in_review": {"in_review"}, "approved": {"approved"}, "final_check_completed": {"approved"}}
    for world in reached():
        if world.release in wanted:
            assert world.approval_request in wanted[world.release], path(world)
        else:
            assert world.approval_request not in ApprovalRequest.LIVE, path(world)


def test_a_release_is_releasing_while_a_deployment_changes_production() -> None:
    """Only deployments to production move a release, also when one of a lower tier ends at the same time."""
    for world in reached():
        if world.deployment in ("running", "verifying", "awaiting_decision", "stopping"):
            assert world.release == "releasing", path(world)


def test_every_world_can_reach_an_end() -> None:
    good = {w for w in reached() if w.release in Release.ENDS and free(w.deployment) and free(w.lower)}
    backwards: dict[World, list[World]] = {}
    for before, _name, after in arrows():
        backwards.setdefault(after, []).append(before)
    waiting = deque(good)
    while waiting:
        for before in backwards.get(waiting.popleft(), []):
            if before not in good:
                good.add(before)
                waiting.append(before)
    stuck = set(reached()) - good
    assert not stuck, path(min(stuck, key=str))


def test_the_search_meets_every_edge_of_the_three_machines() -> None:
    """Except for releases that never go to production, and past ones."""
    fired: dict[str, set[tuple[str, str]]] = {"release": set(), "approval_request": set(), "deployment": set()}
    for before, _name, after in arrows():
        for name, pairs in fired.items():
            pairs.add((getattr(before, name), getattr(after, name)))
    missing = {
        f"{name}: {edge.source} –{edge.verb}→ {edge.target}"
        for name, model in (("release", Release), ("approval_request", ApprovalRequest), ("deployment", Deployment))
        for edge in edges(model)
        if (edge.source, edge.target) not in fired[name]
    }
    allowed = {
        "release: draft –mark_imported→ imported",
        "release: testing_completed –close→ closed",
        # Only of a release for several environments of production: tests/releases/worker/test_two_places.py.
        "release: completed –fail→ failed",
        "release: failed –mark_rolled_back→ rolled_back",
        # A rollback after the monitoring is a higher patch (FROM).
        "deployment: succeeded –start_rollback→ rolling_back",
        "release: completed –mark_rolled_back→ rolled_back",
        "approval_request: in_review –expire→ expired",
        "approval_request: approved –expire→ expired",
    }
    assert missing <= allowed, missing - allowed


def test_the_searched_operations_equal_those_of_the_code() -> None:
    """An edge that another operation fires makes this search, and then the list above, incomplete."""
    verbs = {edge.verb for model in (Release, ApprovalRequest, Deployment) for edge in edges(model)}
    folder = ROOT / "releases" / "operations"
    found: set[str] = set()
    for file in folder.rglob("*.py"):
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and not call.args:
                    row = call.func.value
                    if isinstance(row, ast.Name) and row.id in ROWS and call.func.attr in verbs:
                        found.add(f"{file.relative_to(folder)} {function.name} {row.id}.{call.func.attr}")
    listed = set()
    for line in FIRED.replace(";", "\n").split("\n"):
        file_name, _space, rest = line.strip().partition(" ")
        name, _space, calls = rest.partition(" ")
        listed |= {f"{file_name} {name} {call}" for call in calls.split()}
    assert found == listed, (sorted(found - listed), sorted(listed - found))


def test_edges_of_a_request_are_fired_in_no_other_way() -> None:
    """`end.EDGES` calls them through the class; no other code does."""
    from releases.operations.release.end_approval import EDGES

    assert {e.__name__ for e in EDGES.values()} == {"invalidate", "withdraw_request", "expire", "send_back", "reject"}
    through_class = [
        str(file.relative_to(ROOT))
        for file in (ROOT / "releases").rglob("*.py")
        if any(f"ApprovalRequest.{e.__name__}" in file.read_text(encoding="utf-8") for e in EDGES.values())
    ]
    assert through_class == ["releases/operations/release/end_approval.py"]
