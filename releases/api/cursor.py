"""Pages by cursor: the newest first, opaque, and stable while rows are added."""

import base64
import binascii
from typing import Annotated, Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from pydantic import Field

from audit.refusals import InvalidInput
from releases.api.words import Line

MOST = 100
Limit = Annotated[int, Field(ge=1, le=MOST)]
Cursor = Annotated[Line, Field(max_length=60)]


def page(rows: QuerySet[Any], noun: str, cursor: str, limit: int) -> tuple[list[Any], str | None]:
    """Return one page and the cursor of the next, or None at the end. Raises InvalidInput for an invalid cursor."""
    if cursor:
        rows = rows.filter(pk__lt=_read(noun, cursor))
    found = list(rows.order_by("-pk")[: limit + 1])
    if len(found) <= limit:
        return found, None
    return found[:limit], base64.urlsafe_b64encode(f"{noun}<{found[limit - 1].pk}".encode()).decode().rstrip("=")


def _read(noun: str, cursor: str) -> int:
    try:
        text = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    name, _sign, pk = text.partition("<")
    if name != noun or not (pk.isdigit() and len(pk) < 19):
        raise InvalidInput(_("This cursor is not from this list."))
    return int(pk)
