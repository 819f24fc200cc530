"""The types that a procedure may name, from their registries. Callers pass them to `Procedure.from_toml` and
`checked`.
"""

from collections.abc import Collection

from releases import check_types, step_types
from releases.gates.evaluation import GATES


def procedure_types() -> dict[str, Collection[str]]:
    """Return argument of `Procedure.checked` → names, or names with the models of their parameters."""
    names = [gate.name for gate in GATES]
    return {"step_types": step_types.shapes(), "check_types": check_types.shapes(), "gate_types": names}
