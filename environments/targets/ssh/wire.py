"""The form of a request to a host and of its answer: one line of JSON each, with exact decimal numbers and times."""

import json
from datetime import datetime
from decimal import Decimal
from pathlib import PurePath
from typing import Any


def written(content: Any) -> bytes:
    """Return the line, with its end."""
    return json.dumps(content, default=_written, ensure_ascii=True).encode() + b"\n"


def read(line: bytes) -> Any:
    """Return the content of a line. Raises ValueError, also for an invalid number or time."""
    try:
        return json.loads(line, object_hook=_read)
    except (ArithmeticError, TypeError, RecursionError) as fault:
        raise ValueError(f"{type(fault).__name__}: {fault}") from fault


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
