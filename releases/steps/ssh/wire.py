"""How a request to a host and its answer are written: one line of JSON each, with decimal numbers and times kept exact."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from pathlib import PurePath
from typing import Any


def written(content: Any) -> bytes:
    """Return the line, with its end."""
    return json.dumps(content, default=_written, ensure_ascii=True).encode() + b"\n"


def read(line: bytes) -> Any:
    """Return the content of a line. Raises ValueError."""
    return json.loads(line, object_hook=_read)


def _written(value: Any) -> Any:
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    if isinstance(value, datetime):
        return {"$time": value.isoformat()}
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be sent to a host")


def _read(value: dict[str, Any]) -> Any:
    if value.keys() == {"$decimal"}:
        return Decimal(value["$decimal"])
    if value.keys() == {"$time"}:
        return datetime.fromisoformat(value["$time"])
    return value
