"""Tables as CSV that spreadsheets open as they are: UTF-8 with a mark, and no cell that they would run."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.http import StreamingHttpResponse

from releases.admin.shown import when

MARK = "\ufeff"


class _Line:
    """A file that keeps nothing: what the writer writes is taken at once."""

    def write(self, text: str) -> str:
        return text


def cell(value: Any) -> str:
    """Return a value as text; what a spreadsheet would take for a formula gets an apostrophe."""
    if isinstance(value, datetime):
        return when(value)
    text = "" if value is None else str(value)
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def lines(head: Iterable[Any], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """Yield the lines of a table."""
    writer: Any = csv.writer(_Line(), lineterminator="\r\n")
    yield MARK + writer.writerow([cell(value) for value in head])
    for row in rows:
        yield writer.writerow([cell(value) for value in row])


def answer(name: str, head: Iterable[Any], rows: Iterable[Iterable[Any]]) -> StreamingHttpResponse:
    """Return a table as a download."""
    # Texts in the reader's language are made now, not when the language of the request is forgotten.
    made = StreamingHttpResponse(list(lines(head, rows)), content_type="text/csv; charset=utf-8")
    made["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return made
