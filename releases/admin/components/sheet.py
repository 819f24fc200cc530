"""Tables of the product's own pages as CSV; times in readable form, with the zone."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.http import StreamingHttpResponse

from audit.admin import sheet
from releases.admin.components.formatting import when


def cell(value: Any) -> str:
    """Return a value as the text of a cell."""
    return when(value) if isinstance(value, datetime) else sheet.cell(value)


def lines(head: Iterable[Any], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """Yield the lines of a table."""
    return sheet.lines(head, rows, cell)


def answer(name: str, head: Iterable[Any], rows: Iterable[Iterable[Any]]) -> StreamingHttpResponse:
    """Return a table as a download."""
    return sheet.streamed(name, lines(head, rows))
