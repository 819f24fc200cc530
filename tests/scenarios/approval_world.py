"""A release, its approval request and its deployments as one value, and what each operation makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from releases.models import ApprovalRequest, Deployment, Release
from releases.queries.rollback_candidates import FROM
from releases.state_machines.edges import edges

LIVE_RELEASE = ("in_review", "approved", "final_check_completed")


GIVE_BACK = ("monitoring", "releasing", "completed")


@dataclass(frozen=True)
class World:
    """The states of all rows. `same`: the content is that of the request and its window is open.

    own: the deployment to production belongs to the shown request; used: it has used an approval.
    """

    release: str = "draft"
    approval_request: str = ""
    deployment: str = ""
    lower: str = ""
    same: bool = True
    own: bool = False
    used: bool = False


@cache
def targets(model: type, verb: str) -> dict[str, str]:
    """Return where an edge leads from each state."""
    return {e.source: e.target for e in edges(model) if e.verb == verb}


def go(model: type, state: str, verb: str) -> str:
    """Return the state after an edge; empty when the edge does not leave this state."""
    return targets(model, verb).get(state, "")


def step(world: World, **verbs: str) -> World | None:
    """Fire edges together; None when one of them is not open."""
    found, models = {}, {"release": Release, "approval_request": ApprovalRequest}
    for name, verb in verbs.items():
        if verb:
            found[name] = go(models.get(name, Deployment), getattr(world, name), verb)
            if not found[name]:
                return None
    return replace(world, **found)


def ended(world: World | None, how: str) -> World | None:
    """End the live request (an approved one is invalidated or expires) and cancel what waits for production."""
    if world is None:
        return None
    if world.approval_request in ApprovalRequest.LIVE:
        verb = how if world.approval_request == "in_review" or how in ("invalidate", "expire") else "invalidate"
        world = replace(world, approval_request=go(ApprovalRequest, world.approval_request, verb))
    if world.deployment in Deployment.WAITING_TO_RUN:
        world = replace(world, deployment=go(Deployment, world.deployment, "cancel"))
    return world


def gates(world: World) -> bool:
    """Restate the approval gate: an approved request about the present content."""
    return world.approval_request == "approved" and world.same


def free(state: str) -> bool:
    """Tell whether another deployment may be requested."""
    return state in Deployment.ENDS or not state


def submit(w: World) -> World | None:
    moved = step(w, release="submit") if w.approval_request not in ApprovalRequest.LIVE else None
    return replace(moved, approval_request="in_review", same=True, own=False) if moved else None


def approve(w: World) -> World | None:
    in_review = w.same and w.approval_request == "in_review"
    return step(w, release="mark_approved", approval_request="mark_approved") if in_review else None


def send_back(w: World) -> World | None:
    return step(w, release="send_back", approval_request="send_back")


def reject(w: World) -> World | None:
    return step(w, release="reject", approval_request="reject")


def withdraw_request(w: World) -> World | None:
    return ended(step(w, release="withdraw_request"), "withdraw_request")


def busy(w: World) -> bool:
    """Restate that reopening and cancelling wait for a deployment that occupies production."""
    return w.deployment in Deployment.OCCUPYING and w.deployment != "queued"


def reopen_scope(w: World) -> World | None:
    return None if busy(w) else ended(step(w, release="reopen_scope"), "invalidate")


def cancel(w: World) -> World | None:
    return None if busy(w) else ended(step(w, release="cancel"), "invalidate")


def reschedule(w: World) -> World | None:
    return ended(step(w, release="reschedule"), "invalidate")


def expire(w: World) -> World | None:
    if w.same or w.approval_request not in ApprovalRequest.LIVE:
        return None
    over = ended(w, "invalidate")
    return step(over, release="end_approval") if over and over.release in LIVE_RELEASE else over


def change_outside(w: World) -> World | None:
    return replace(w, same=False) if w.approval_request in ApprovalRequest.LIVE and w.same else None


def change_back(w: World) -> World | None:
    return replace(w, same=True) if w.approval_request in ApprovalRequest.LIVE and not w.same else None


def request(w: World) -> World | None:
    if w.release not in Release.MAY_RUN["production"] or w.deployment in Deployment.WAITING_TO_RUN:
        return None
    return replace(w, deployment="requested", own=False, used=False) if free(w.deployment) else None


def schedule(w: World) -> World | None:
    moved = step(w, deployment="schedule") if gates(w) else None
    return replace(moved, own=True) if moved else None


def enqueue(w: World) -> World | None:
    return step(w, deployment="enqueue") if gates(w) and w.release in Release.MAY_RUN["production"] else None


def claim(w: World) -> World | None:
    if not gates(w) or w.release not in Release.MAY_RUN["production"]:
        return None
    moved = step(w, deployment="start", approval_request="use" if w.own else "")
    if moved is None or not w.own:
        return moved
    used = replace(moved, used=True)
    return step(used, release="start") if moved.release == "final_check_completed" else used


def verify(w: World) -> World | None:
    moved = step(w, deployment="start_monitoring")
    return step(moved, release="start_monitoring") if moved and moved.release == "releasing" else moved


def monitoring_ends(w: World) -> World | None:
    moved = step(w, deployment="succeed")
    return step(moved, release="complete") if moved and moved.release == "monitoring" else moved


def supersede(w: World) -> World | None:
    moved = step(w, deployment="supersede")
    return step(moved, release="complete") if moved and moved.release == "monitoring" else moved


def resolve_previous(w: World) -> World | None:
    moved = step(w, deployment="resolve")
    verbs = {"releasing": "abort", "monitoring": "mark_rolled_back"}
    return step(moved, release=verbs[moved.release]) if moved and moved.release in verbs else moved


def resolve_otherwise(w: World) -> World | None:
    moved = step(w, deployment="resolve")
    return step(moved, release="fail") if moved and moved.release in ("releasing", "monitoring") else moved


def start_rollback(w: World) -> World | None:
    return step(w, deployment="start_rollback") if w.deployment in FROM else None


def complete_rollback(w: World) -> World | None:
    moved = step(w, deployment="complete_rollback")
    return step(moved, release="mark_rolled_back") if moved and moved.release in GIVE_BACK else moved


def plain(name: str, verb: str) -> Callable[[World], World | None]:
    """Return an operation that fires one edge of one row."""
    return lambda w: step(w, **{name: verb})


def lower_request(w: World) -> World | None:
    return replace(w, lower="requested") if w.release in Release.MAY_RUN["staging"] and free(w.lower) else None


ALONE = (
    "return_to_scheduled",
    "cancel",
    "mark_missed",
    "start_verification",
    "await_decision",
    "resume",
    "resume_verification",
    "stop",
    "mark_stopped",
    "fail",
    "fail_rollback",
    "retry_rollback",
)


ENDING = ("supersede", "succeed", "start_rollback", "complete_rollback", "resolve")


LOWER = ("schedule", "enqueue", "start", "start_monitoring", *ENDING, *ALONE)


OPERATIONS: dict[str, Callable[[World], World | None]] = {
    "lock_scope": plain("release", "lock_scope"),
    "complete_testing": plain("release", "complete_testing"),
    "complete_final_check": lambda w: step(w, release="complete_final_check") if gates(w) else None,
    "submit": submit,
    "approve": approve,
    "send_back": send_back,
    "reject": reject,
    "withdraw_request": withdraw_request,
    "reopen_scope": reopen_scope,
    "cancel": cancel,
    "reschedule": reschedule,
    "expire": expire,
    "change_outside": change_outside,
    "change_back": change_back,
    "request": request,
    "schedule": schedule,
    "enqueue": enqueue,
    "claim": claim,
    "verify": verify,
    "monitoring_ends": monitoring_ends,
    "resolve_previous": resolve_previous,
    "resolve_otherwise": resolve_otherwise,
    "supersede": supersede,
    "start_rollback": start_rollback,
    "complete_rollback": complete_rollback,
    "lower_request": lower_request,
    **{f"deployment {verb}": plain("deployment", verb) for verb in ALONE},
    **{f"lower {verb}": plain("lower", verb) for verb in LOWER},
}
