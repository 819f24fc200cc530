"""The types and events that a procedure may name, from their registries. Callers pass them to `Procedure.from_toml` and
`checked`.
"""

from collections.abc import Collection

from releases import check_types, step_types
from releases.gates.evaluation import GATES
from releases.notifications.templates.events import EVENTS


def procedure_types() -> dict[str, Collection[str]]:
    """Return argument of `Procedure.checked` → names, or names with the models of their parameters."""
    return {
        "step_types": step_types.shapes(),
        "check_types": check_types.shapes(),
        "gate_types": [gate.name for gate in GATES],
        "events": [event.key for event in EVENTS if event.key],
    }
