"""Every operation of the code is declared in audit/operation_roles.toml; PostgreSQL refuses any other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from releases.admin.components.change_history import OTHER_OPERATIONS
from releases.admin.operations import VERBS
from tests.operation_roles import DECLARED

PROJECT = Path(__file__).parents[2]
STARTS = {"operation", "continue_with", "record_event", "record_refusal"}


def _started() -> Iterator[tuple[str, str]]:
    """Yield each operation that the product's code begins, and where: the literals of the first argument."""
    for folder in ("audit", "environments", "releases"):
        for file in (PROJECT / folder).rglob("*.py"):
            if {"migrations", "demo"} & set(file.parts):
                continue
            for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(call, ast.Call) and call.args and _name(call.func) in STARTS:
                    for one in ast.walk(call.args[0]):
                        if isinstance(one, ast.Constant) and isinstance(one.value, str) and one.value[-1:] not in ":_":
                            yield one.value, file.name


def _name(called: ast.expr) -> str:
    return called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""


def test_every_operation_that_the_code_begins_is_declared_and_every_declared_one_has_words() -> None:
    started = {operation for operation, _place in _started() if ":" in operation}
    assert len(started) > 180
    assert started | {verb.key for verb in VERBS} <= DECLARED.keys()
    assert {verb.key for verb in VERBS if "web" not in DECLARED[verb.key]} == set()
    assert DECLARED.keys() - {verb.key for verb in VERBS} - OTHER_OPERATIONS.keys() == set()


# Changes rows inside the open operation of another file; opens none.
INSIDE = {
    "releases/operations/deployment/completion.py",
    "releases/operations/deployment/open_steps.py",
    "releases/operations/deployment/superseded.py",
    "releases/operations/follow_up/create.py",
    "releases/operations/notification_rule/apply_procedure.py",
    "releases/operations/procedure/apply_freezes.py",
    "releases/operations/procedure/apply_roles.py",
    "releases/operations/procedure/further.py",
    "releases/operations/release/dates.py",
    "releases/operations/release/follow.py",
    "releases/operations/release/readiness.py",
    "releases/operations/release/request_approval.py",
}
# Operations of another noun that belong to the same mechanism.
ELSEWHERE = {
    "releases/operations/approval/submit.py": {"release"},
    "releases/operations/emergency_stop/activate.py": {"deployment"},
    "releases/operations/notification_delivery/disable.py": {"suppressed_address"},
    "releases/operations/notification_delivery/lane.py": {"notification_channel"},
    "releases/operations/release/end_approval.py": {"window"},
    "releases/operations/target/measure.py": {"drift"},
    "environments/operations/configuration/reencrypt.py": {"account"},
}


def test_each_file_opens_operations_of_the_noun_that_names_its_folder() -> None:
    inside, elsewhere = set(), {}
    for app in ("environments", "releases"):
        for file in (PROJECT / app / "operations").rglob("*.py"):
            if file.name == "__init__.py":
                continue
            calls = [
                call for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(call, ast.Call)
            ]
            opened = [call.args[0] for call in calls if _name(call.func) == "operation"]
            name = file.relative_to(PROJECT).as_posix()
            if not opened:
                inside.add(name)
            texts = {node.value for key in opened for node in ast.walk(key) if isinstance(node, ast.Constant)}
            nouns = {text.partition(":")[0] for text in texts if isinstance(text, str) and ":" in text}
            if other := nouns - {file.parent.name}:
                elsewhere[name] = other
    assert inside == INSIDE
    assert elsewhere == ELSEWHERE
