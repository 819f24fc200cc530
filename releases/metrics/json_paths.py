"""Finds values in a JSON document by dotted paths; called by checks and metric sources that read JSON."""

from __future__ import annotations

from typing import Any

ABSENT = "(absent)"


def at_path(content: Any, path: str) -> Any:
    """Return the value at a dotted path, numbers being places in a list; ABSENT where it leads nowhere.

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
