"""What a request is read into and answered with; called by everything that answers."""

import json
from dataclasses import dataclass
from typing import Any

from dataset_service.cache import Cache
from dataset_service.settings import Settings
from dataset_service.store import Store


class BadRequest(Exception):
    """The request can't be answered as it is; the message says why."""


@dataclass(frozen=True)
class Parts:
    """What the routes work with."""

    store: Store
    cache: Cache
    settings: Settings


@dataclass(frozen=True)
class Answer:
    """A status and what is sent with it: text as it is, anything else as JSON."""

    status: int
    content: Any
    content_type: str = "application/json"


def text_field(fields: dict[str, Any], name: str, longest: int) -> str:
    """Return a text of the request. Raises BadRequest when it is none or too long."""
    value = fields.get(name, "")
    if not isinstance(value, str) or len(value) > longest or "\0" in value:
        raise BadRequest(f"{name} must be a text of at most {longest} characters")
    return value


def fields_of(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`. Raises BadRequest."""
    try:
        fields = json.loads(body)
    except ValueError:
        raise BadRequest("the body is not JSON") from None
    if not isinstance(fields, dict):
        raise BadRequest("the body is not a JSON object")
    return fields
