"""Reads the edges of a machine off its model: for the database guard, the documentation and the searches."""

from typing import Any, NamedTuple


class Edge(NamedTuple):
    """One edge: verb, state it leaves, state it reaches; operation: only a role that may cause it takes the edge."""

    verb: str
    source: str
    target: str
    operation: str = ""


def edges(model: type[Any]) -> list[Edge]:
    """Return all edges of a model with a machine, sorted."""
    field = model._meta.get_field("state")
    found = field.get_all_transitions(model)
    return sorted(Edge(t.name, str(t.source), str(t.target), t.custom.get("operation", "")) for t in found)


def initial(model: type[Any]) -> str:
    """Return the state in which rows of a model begin."""
    return str(model._meta.get_field("state").default)
