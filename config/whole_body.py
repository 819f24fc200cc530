"""Bodies are whole: what a lost connection has cut is refused, also where its beginning could be read by itself.

The web server passes a cut body on like a complete one. Of a form with several files, those before the cut would count.
"""

from collections.abc import Callable
from io import IOBase
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError


class WholeBody(IOBase):
    """A stream of a body. Raises MultiPartParserError, which is answered with 400, where it ends too early."""

    def __init__(self, stream: Any, length: int) -> None:
        """length: the bytes that the request announces."""
        self._stream, self._missing = stream, length

    def read(self, size: int | None = -1) -> bytes:
        """Return as many bytes, or the rest of them."""
        data: bytes = self._stream.read(size)
        return self._counted(data, ended=size is None or size < 0 or len(data) < size)

    def readline(self, size: int | None = -1) -> bytes:
        """Return the next line, or the beginning of it."""
        data: bytes = self._stream.readline(size)
        full = size is not None and 0 <= size <= len(data)
        return self._counted(data, ended=not data.endswith(b"\n") and not full)

    def _counted(self, data: bytes, *, ended: bool) -> bytes:
        self._missing -= len(data)
        if ended and self._missing > 0:
            raise MultiPartParserError("the body is shorter than its length")
        return data


class WholeBodyMiddleware:
    """Lets each request read its body as a WholeBody."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a request."""
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdecimal() and (stream := getattr(request, "_stream", None)) is not None:
            request._stream = WholeBody(stream, int(length))  # type: ignore[assignment]
        return self.get_response(request)
