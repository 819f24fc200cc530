"""Breadth-first search over the machines of release, consent and run together with the rules of who fires what when.

The edges are the product's own (`releases.machines.edges`), and so are the sets of states (MAY_RUN, OCCUPYING, FROM …).
What is restated here is only which act fires which edges together, in ACTS; a test reads the actions' code and fails
when an edge is fired somewhere that FIRED does not list. A world is one release with its latest round, a run in
production, a run in staging, and what the search asks about.
"""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from releases.actions.rollback.possible import FROM
from releases.machines.edges import edges
from releases.models import ApprovalRequest, Deployment, Release

ROOT = Path(__file__).resolve().parents[2]
# Where the actions fire an edge of the three machines: file under releases/actions, function, row and edge.
FIRED = """
consent/decide.py _refuse round_.reject round_.send_back release.reject release.send_back
consent/decide.py _grant round_.grant release.approve
consent/end.py end_rounds deployment.cancel
consent/lapse.py _lapse_release release.lapse; consent/lapse.py _lapse_window held.expire
deployment/decide.py give_up deployment.fail; deployment/decide.py stop_inside deployment.stop deployment.stopped
deployment/decide.py succeed deployment.succeed; deployment/settle.py settle deployment.settle; deployment/settle.py _follow release.abandon release.stand_down
deployment/decide.py _go_on deployment.resume deployment.recheck
deployment/decide.py go_on_after deployment.verify
deployment/queue.py queue deployment.queue; deployment/queue.py settle_lower held.settle
deployment/queue.py put_back deployment.put_back; deployment/queue.py miss deployment.miss
deployment/schedule.py schedule deployment.schedule; deployment/schedule.py _book other.cancel
deployment/schedule.py cancel deployment.cancel
deployment/stopped.py stopped deployment.stopped
deployment/verified.py taken_back release.roll_back; deployment/verify.py verify deployment.watch release.watch; deployment/replaced.py cut_short cut.cut_short release.abandon; deployment/verified.py completed release.complete
in_force/adopt.py propose release.record; procedure/activate.py move_over release.lapse
procedure/activate.py take_back round_.take_back; procedure/activate.py end_other_applications other.void
release/confirm.py confirm release.confirm; release/import_tags.py _record release.record
release/move.py postpone release.postpone; release/prepare.py fix_content release.fix_content; release/prepare.py confirm_tests release.confirm_tests
release/prepare.py conclude release.conclude; release/prepare.py amend release.amend
release/prepare.py take_back release.take_back; release/prepare.py withdraw release.withdraw
release/submit.py submit release.submit; rollback/restored.py restored deployment.restored deployment.falter
rollback/run.py run deployment.roll_back; rollback/run.py retry deployment.retry
step/claim.py _start deployment.start round_.consume release.start
step/finish.py finish deployment.stopped; step/finish.py stop deployment.stopped
step/finish.py ask_person deployment.hold; step/time_left.py hold deployment.hold; step/finish.py pause deployment.stopped
step/finish.py _phase_ends deployment.verify deployment.watch
step/finish.py _trouble deployment.stopped deployment.falter deployment.hold deployment.fail
watch/sample.py _close deployment.succeed; window/withdraw.py withdraw round_.take_back round_.void
"""
ROWS = {"round_", "release", "held", "deployment", "other", "cut"}
LIVE_RELEASE = ("in_review", "approved", "confirmed")
GIVE_BACK = ("monitoring", "releasing", "completed")


@dataclass(frozen=True)
class World:
    """Where everything stands. `same`: the content is what the round is about and its window is open.

    own: the run in production belongs to the round shown; used: the run in production consumed a consent.
    """

    release: str = "draft"
    round: str = ""
    run: str = ""
    lower: str = ""
    same: bool = True
    own: bool = False
    used: bool = False


@cache
def targets(model: type, verb: str) -> dict[str, str]:
    """Return where an edge leads from each state."""
    return {e.source: e.target for e in edges(model) if e.verb == verb}


def go(model: type, state: str, verb: str) -> str:
    """Return the state after an edge; empty when there is none from here."""
    return targets(model, verb).get(state, "")


def step(world: World, release: str = "", round_: str = "", run: str = "", lower: str = "") -> World | None:
    """Fire edges together; None when one of them is not open."""
    found = {}
    for name, model, verb in (
        ("release", Release, release), ("round", ApprovalRequest, round_), ("run", Deployment, run),
        ("lower", Deployment, lower),
    ):  # fmt: skip
        if verb:
            found[name] = go(model, getattr(world, name), verb)
            if not found[name]:
                return None
    return replace(world, **found)


def ended(world: World | None, how: str) -> World | None:
    """End the live round (a granted one is void unless it expires) and cancel what waits in production."""
    if world is None:
        return None
    if world.round in ApprovalRequest.LIVE:
        verb = how if world.round == "open" or how in ("void", "expire") else "void"
        world = replace(world, round=go(ApprovalRequest, world.round, verb))
    if world.run in Deployment.WAITING_TO_RUN:
        world = replace(world, run=go(Deployment, world.run, "cancel"))
    return world


def gates(world: World) -> bool:
    """Restate the consent gate: a granted round about the content as it is."""
    return world.round == "granted" and world.same


def free(state: str) -> bool:
    """Tell whether another run may be asked for."""
    return state in Deployment.ENDS or not state


def submit(w: World) -> World | None:
    moved = step(w, release="submit")
    return replace(moved, round="open", same=True, own=False) if moved and w.round not in ApprovalRequest.LIVE else None


def approve(w: World) -> World | None:
    return step(w, release="approve", round_="grant") if w.same and w.round == "open" else None


def send_back(w: World) -> World | None:
    return step(w, release="send_back", round_="send_back")


def reject(w: World) -> World | None:
    return step(w, release="reject", round_="reject")


def take_back(w: World) -> World | None:
    return ended(step(w, release="take_back"), "take_back")


def busy(w: World) -> bool:
    """Restate that amend and withdraw wait for a run that occupies production."""
    return w.run in Deployment.OCCUPYING and w.run != "queued"


def amend(w: World) -> World | None:
    return None if busy(w) else ended(step(w, release="amend"), "void")


def withdraw(w: World) -> World | None:
    return None if busy(w) else ended(step(w, release="withdraw"), "void")


def postpone(w: World) -> World | None:
    return ended(step(w, release="postpone"), "void")


def lapse(w: World) -> World | None:
    if w.same or w.round not in ApprovalRequest.LIVE:
        return None
    over = ended(w, "void")
    return step(over, release="lapse") if over and over.release in LIVE_RELEASE else over


def change_outside(w: World) -> World | None:
    return replace(w, same=False) if w.round in ApprovalRequest.LIVE and w.same else None


def change_back(w: World) -> World | None:
    return replace(w, same=True) if w.round in ApprovalRequest.LIVE and not w.same else None


def request(w: World) -> World | None:
    if w.release not in Release.MAY_RUN["production"] or w.run in Deployment.WAITING_TO_RUN:
        return None
    return replace(w, run="requested", own=False, used=False) if free(w.run) else None


def schedule(w: World) -> World | None:
    moved = step(w, run="schedule") if gates(w) else None
    return replace(moved, own=True) if moved else None


def queue(w: World) -> World | None:
    return step(w, run="queue") if gates(w) and w.release in Release.MAY_RUN["production"] else None


def claim(w: World) -> World | None:
    if not gates(w) or w.release not in Release.MAY_RUN["production"]:
        return None
    moved = step(w, run="start", round_="consume" if w.own else "")
    if moved is None or not w.own:
        return moved
    return (
        step(replace(moved, used=True), release="start") if moved.release == "confirmed" else replace(moved, used=True)
    )


def verify(w: World) -> World | None:
    moved = step(w, run="watch")
    return step(moved, release="watch") if moved and moved.release == "releasing" else moved


def watch_ends(w: World) -> World | None:
    moved = step(w, run="succeed")
    return step(moved, release="complete") if moved and moved.release == "monitoring" else moved


def cut_short(w: World) -> World | None:
    moved = step(w, run="cut_short")
    return step(moved, release="complete") if moved and moved.release == "monitoring" else moved


def settle_as_before(w: World) -> World | None:
    moved = step(w, run="settle")
    verbs = {"releasing": "stand_down", "monitoring": "roll_back"}
    return step(moved, release=verbs[moved.release]) if moved and moved.release in verbs else moved


def settle_otherwise(w: World) -> World | None:
    moved = step(w, run="settle")
    return step(moved, release="abandon") if moved and moved.release in ("releasing", "monitoring") else moved


def way_back(w: World) -> World | None:
    return step(w, run="roll_back") if w.run in FROM else None


def restored(w: World) -> World | None:
    moved = step(w, run="restored")
    return step(moved, release="roll_back") if moved and moved.release in GIVE_BACK else moved


def plain(name: str, verb: str) -> Callable[[World], World | None]:
    """Return an act that fires one edge of one row."""
    return lambda w: step(w, **{name: verb})


def lower_request(w: World) -> World | None:
    return replace(w, lower="requested") if w.release in Release.MAY_RUN["staging"] and free(w.lower) else None


ALONE = ("put_back", "cancel", "miss", "verify", "hold", "resume", "recheck", "stop", "stopped", "fail",
         "falter", "retry")  # fmt: skip
LOWER = ("cut_short", "schedule", "queue", "start", "watch", "succeed", "roll_back", "restored", "settle", *ALONE)
ACTS: dict[str, Callable[[World], World | None]] = {
    "fix_content": plain("release", "fix_content"), "confirm_tests": plain("release", "confirm_tests"),
    "confirm": lambda w: step(w, release="confirm") if gates(w) else None,
    "submit": submit, "approve": approve, "send_back": send_back, "reject": reject, "take_back": take_back,
    "amend": amend, "withdraw": withdraw, "postpone": postpone, "lapse": lapse, "change_outside": change_outside,
    "change_back": change_back, "request": request, "schedule": schedule, "queue": queue, "claim": claim,
    "deployment verify": verify, "watch_ends": watch_ends, "settle_as_before": settle_as_before,
    "settle_otherwise": settle_otherwise, "cut_short": cut_short, "way_back": way_back, "restored": restored,
    "lower_request": lower_request,
    **{f"run {verb}": plain("run", verb) for verb in ALONE},
    **{f"lower {verb}": plain("lower", verb) for verb in LOWER},
}  # fmt: skip


@cache
def reached() -> dict[World, tuple[World | None, str]]:
    """Return every world that can be reached, with the world before it and the act between."""
    seen: dict[World, tuple[World | None, str]] = {World(): (None, "")}
    waiting = deque([World()])
    while waiting:
        world = waiting.popleft()
        for name, act in ACTS.items():
            following = act(world)
            if following is not None and following not in seen:
                seen[following] = (world, name)
                waiting.append(following)
    return seen


def path(world: World) -> list[str]:
    """Return the acts that lead to a world, for the message of a failure."""
    acts: list[str] = []
    before: World | None = world
    while before is not None:
        before, name = reached()[before]
        acts.append(name)
    return acts[::-1]


def arrows() -> Iterator[tuple[World, str, World]]:
    """Yield every act from every world that can be reached."""
    for world in reached():
        for name, act in ACTS.items():
            following = act(world)
            if following is not None:
                yield world, name, following


def test_nothing_starts_in_production_without_a_consent_about_exactly_this() -> None:
    starts = 0
    for before, name, after in arrows():
        if before.run == "queued" and after.run == "running":
            starts += 1
            assert (before.round, before.same) == ("granted", True), (name, path(before))
            assert (after.round, after.used) == ("consumed", True), (name, path(after))
            assert after.release == "releasing", (name, path(after))
    assert starts, "the search never got that far"


def test_whatever_runs_in_production_has_used_a_consent() -> None:
    held = set(Deployment.OCCUPYING) - {"queued"}
    assert {w.run for w in reached()} >= held | set(Deployment.ENDS), "each state of a run is reached"
    for world in reached():
        if world.run in held | {"monitoring", "succeeded", "settled", "rolled_back"}:
            assert world.used, path(world)


def test_no_live_release_has_a_dead_round_and_no_dead_release_a_live_one() -> None:
    wanted = {"in_review": {"open"}, "approved": {"granted"}, "confirmed": {"granted"}}
    for world in reached():
        if world.release in wanted:
            assert world.round in wanted[world.release], path(world)
        else:
            assert world.round not in ApprovalRequest.LIVE, path(world)


def test_while_a_run_changes_production_its_release_is_releasing() -> None:
    """Only runs in production move a release, also when one of a lower tier ends at the same time."""
    for world in reached():
        if world.run in ("running", "verifying", "waiting", "stopping"):
            assert world.release == "releasing", path(world)


def test_every_world_can_reach_an_end() -> None:
    good = {w for w in reached() if w.release in Release.ENDS and free(w.run) and free(w.lower)}
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
    """But for those of releases that never go to production, and of past ones."""
    fired: dict[str, set[tuple[str, str]]] = {"release": set(), "round": set(), "run": set()}
    for before, _name, after in arrows():
        for name, pairs in fired.items():
            pairs.add((getattr(before, name), getattr(after, name)))
    missing = {
        f"{name}: {edge.source} –{edge.verb}→ {edge.target}"
        for name, model in (("release", Release), ("round", ApprovalRequest), ("run", Deployment))
        for edge in edges(model)
        if (edge.source, edge.target) not in fired[name]
    }
    allowed = {
        "release: draft –record→ recorded", "release: tested –conclude→ concluded",
        # Going back after the watch is a higher patch (FROM).
        "run: succeeded –roll_back→ rolling_back",
        "release: completed –roll_back→ rolled_back",
        "round: open –expire→ expired", "round: granted –expire→ expired",
    }  # fmt: skip
    assert missing <= allowed, missing - allowed


def test_the_acts_searched_here_are_those_of_the_code() -> None:
    """An edge that is fired anywhere else makes this search, and then the list above, incomplete."""
    verbs = {edge.verb for model in (Release, ApprovalRequest, Deployment) for edge in edges(model)}
    folder = ROOT / "releases" / "actions"
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


def test_edges_of_a_round_are_fired_in_no_other_way() -> None:
    """EDGES of end_rounds calls them through the class; nothing else does."""
    from releases.actions.consent.end import EDGES

    assert {edge.__name__ for edge in EDGES.values()} == {"void", "take_back", "expire", "send_back", "reject"}
    through_class = [
        str(file.relative_to(ROOT))
        for file in (ROOT / "releases").rglob("*.py")
        if any(f"ApprovalRequest.{e.__name__}" in file.read_text(encoding="utf-8") for e in EDGES.values())
    ]
    assert through_class == ["releases/actions/consent/end.py"]
