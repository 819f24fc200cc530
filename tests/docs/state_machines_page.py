"""The text of docs/reference/state-machines.md, made from the transitions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from releases.state_machines.edges import Edge, edges, initial
from releases.state_machines.guard import machines

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "state-machines.md"
HEAD = """\
# State machines

`RINGI_DOCS_WRITE=1 make test TESTS=tests/docs/test_state_machines_page.py` writes this page from the transitions in
`releases/state_machines/`. Do not edit the page by hand; the test says when it is stale. A row changes its state along
one of these transitions and in no other way. An operation (`audit/operation.py`) saves at most one transition for each
row. A trigger in PostgreSQL, made from the same list after each migration, refuses every other change, also from raw
SQL. The pages [execution](../explanation/execution.md) and [approval](../explanation/approval.md) explain the
transitions.
"""


def _machine(model: type[Any]) -> type[Any]:
    return next(base for base in model.__mro__ if base.__module__.startswith("releases.state_machines."))


def _sentence(documented: Any) -> str:
    return " ".join((documented.__doc__ or "").split())


def _diagram(begins: str, listed: list[Edge], ends: list[str]) -> list[str]:
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {begins}"]
    lines += [f"    {edge.source} --> {edge.target} : {edge.verb}" for edge in listed]
    lines += [f"    {state} --> [*]" for state in ends]
    return [*lines, "```"]


def _section(model: type[Any]) -> list[str]:
    machine, begins = _machine(model), initial(model)
    order = [str(value) for value in machine.State.values]
    listed = sorted(edges(model), key=lambda e: (order.index(e.source), order.index(e.target), e.verb))
    ends = [state for state in order if state in machine.ENDS]
    lines = [f"## {model.__name__}", "", f"`{machine.__module__}` · table `{model._meta.db_table}`", ""]
    lines += [_sentence(machine), ""]
    lines += _diagram(begins, listed, ends)
    lines += ["", f"First state: `{begins}`.", f"Final states: {', '.join(f'`{state}`' for state in ends)}.", ""]
    lines += ["| transition | from | to | meaning |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {edge.verb} | {edge.source} | {edge.target} | {_sentence(getattr(machine, edge.verb))} |" for edge in listed
    ]
    return [*lines, ""]


def page() -> str:
    """Return the text of the page for the state machines that the code has now."""
    known = sorted(machines(), key=lambda model: model.__name__)
    lines = [HEAD]
    for model in known:
        lines += _section(model)
    return "\n".join(lines)
