"""Tables as CSV that spreadsheets open as they are: UTF-8 with a mark, and no cell that they would run."""

import csv
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import batched
from typing import Any

from django.http import StreamingHttpResponse
from django.utils import timezone, translation
from django.utils.html import strip_tags
from django.utils.safestring import SafeString

MARK = "\ufeff"
CHUNK = 500
FORMULA = ("=", "+", "-", "@", "\N{MINUS SIGN}")


class _Line:
    """A file that keeps nothing: `write` returns what it is given."""

    def write(self, text: str) -> str:
        return text


def cell(value: Any) -> str:
    """Return a value as text; what a spreadsheet would take for a formula gets an apostrophe."""
    if isinstance(value, datetime):
        return timezone.localtime(value).strftime("%Y-%m-%d %H:%M:%S %Z")
    if isinstance(value, SafeString):
        value = strip_tags(value)
    text = "" if value is None else str(value)
    # Also in full width, and behind blanks, which some spreadsheets drop.
    first = unicodedata.normalize("NFKC", text.lstrip()[:1])
    return "'" + text if first in FORMULA or text.startswith(("\t", "\r", "\n")) else text


def lines(head: Iterable[Any], rows: Iterable[Iterable[Any]], write: Callable[[Any], str] = cell) -> Iterator[str]:
    """Yield the lines of a table."""
    writer: Any = csv.writer(_Line(), lineterminator="\r\n")
    yield MARK + writer.writerow([write(value) for value in head])
    for row in rows:
        yield writer.writerow([write(value) for value in row])


def streamed(name: str, made: Iterator[str]) -> StreamingHttpResponse:
    """Return lines as a streamed download, in the language of the request."""
    language = translation.get_language() or "en"

    def pieces() -> Iterator[str]:
        parts = batched(made, CHUNK, strict=False)
        while True:
            # Other code runs in this thread between two pieces; it must not get this language.
            with translation.override(language):
                piece = next(parts, None)
            if piece is None:
                return
            yield "".join(piece)

    answer = StreamingHttpResponse(pieces(), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return answer
