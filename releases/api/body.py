"""Reading the body of a call: JSON that says it is, with each key once."""

import json
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja.parser import Parser


class UnreadableBody(ValueError):
    """A body that is refused; kind: the type of the resulting problem."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class JsonParser(Parser):
    """Parser for ninja, which by itself takes any body for JSON and the last of equal keys."""

    def parse_body(self, request: HttpRequest) -> Any:
        """Return the content of a body. Raises UnreadableBody, or ValueError for a body that is not JSON."""
        kind = request.content_type or ""
        if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
            text = _("The body must be JSON, and the Content-Type header must be application/json, not %(kind)s.")
            raise UnreadableBody("unsupported_media_type", text % {"kind": kind or "—"})
        return json.loads(request.body, object_pairs_hook=_each_once)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _value in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise UnreadableBody("malformed", _("The key “%(key)s” occurs twice in the body.") % {"key": twice[:100]})
    return found
