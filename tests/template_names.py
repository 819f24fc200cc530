"""What templates read and our objects do not have: Django prints nothing for it, so the test that opens the page fails."""

from __future__ import annotations

from typing import Any

from django.template.base import Variable, VariableDoesNotExist

OURS = ("audit", "config", "environments", "releases")
_missing: set[str] = set()


def note_lookups() -> None:
    """Note each attribute that a template reads and that the object of ours before the dot does not have."""
    resolve = Variable._resolve_lookup  # type: ignore[attr-defined]

    def noted(self: Variable, context: Any) -> Any:
        try:
            return resolve(self, context)
        except VariableDoesNotExist as fault:
            name, holder = fault.params if len(fault.params) == 2 else ("", None)
            # `instance` is a row of any model, which the page of an operation asks for what it leads to.
            if not str(self.var).startswith(("instance.", "cl.")) and type(holder).__module__.partition(".")[0] in OURS:
                _missing.add(f"{self.var}: {type(holder).__name__} has no {name}")
            raise

    Variable._resolve_lookup = noted  # type: ignore[attr-defined]


def taken() -> list[str]:
    """Return what was noted since the last call."""
    found = sorted(_missing)
    _missing.clear()
    return found
