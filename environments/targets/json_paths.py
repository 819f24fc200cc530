"""Finds values in a JSON document by dotted paths; called by steps, checks and metric sources that read JSON."""

import math
from typing import Any

ABSENT = "(absent)"


def at_path(content: Any, path: str) -> Any:
    """Return the value at a dotted path, numbers being places in a list; ABSENT for a path without a value.

    The empty path is the document itself.
    """
    for name in path.split(".") if path else ():
        if isinstance(content, dict) and name in content:
            content = content[name]
        elif isinstance(content, list) and name.isdecimal() and int(name) < len(content):
            content = content[int(name)]
        else:
            return ABSENT
    return content


def number_in(found: Any) -> float | None:
    """Return a finite number (a flag as 0 or 1, of a list its greatest); None for anything else."""
    if isinstance(found, list):
        return max((n for n in (number_in(inner) for inner in found) if n is not None), default=None)
    if isinstance(found, bool | int | float):
        number = float(found)
        return number if math.isfinite(number) else None
    return None
