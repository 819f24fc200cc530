"""What templates read and our objects do not have: Django prints nothing for it, so the test that opens the page
fails.
"""

from __future__ import annotations

import re
from typing import Any

from django.forms import Field
from django.template.base import Variable, VariableDoesNotExist

OURS = re.compile(r"(audit|config|environments|releases)\.")
# A row of any model, which a generic page asks for what it may have.
GENERIC = re.compile(r"value\.items$|instance\.|cl\.|row\.get_state_display$")
_missing: set[str] = set()


def note_lookups() -> None:
    """Note each attribute that a template reads and that the object of ours before the dot does not have."""
    resolve = Variable._resolve_lookup

    def noted(self: Variable, context: Any) -> Any:
        try:
            return resolve(self, context)
        except VariableDoesNotExist as fault:
            name, holder = fault.params if len(fault.params) == 2 else ("", None)
            if (
                not isinstance(holder, Field)
                and OURS.match(type(holder).__module__)
                and not GENERIC.match(str(self.var))
            ):
                _missing.add(f"{self.var}: {type(holder).__name__} has no {name}")
            raise

    Variable._resolve_lookup = noted


def taken() -> list[str]:
    """Return what was noted since the last call."""
    found = sorted(_missing)
    _missing.clear()
    return found
