"""What the templates of the admin ask for: times, tones, and the buttons of a row."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django import template
from django.db.models import Model
from django.http import HttpRequest

from environments.admin.rights import rights_of
from releases.admin import shown
from releases.admin.shown import Button

register = template.Library()


@register.filter
def when(at: Any, zone: str = "") -> str:
    """Return a time with its zone; other values as they are."""
    return shown.when(at, zone) if isinstance(at, datetime) or at is None else str(at)


@register.filter
def clock(at: Any, zone: str = "") -> str:
    """Return a time of the day with its zone."""
    return shown.clock(at, zone)


@register.filter
def span(seconds: Any) -> str:
    """Return a length of time in words."""
    return shown.span(seconds)


@register.filter
def tone(state: Any) -> str:
    """Return the tone of a state."""
    return shown.tone(state)


@register.filter
def cell(value: Any) -> Any:
    """Return a field's value as a detail page shows it."""
    if isinstance(value, datetime):
        return shown.when(value)
    return "—" if value in (None, "") else value


@register.filter
def short(digest: Any) -> str:
    """Return the first twelve characters of a digest or a commit; a dash for none."""
    return str(digest)[:12] if digest else "—"


@register.inclusion_tag("ringi/buttons.html", takes_context=True)
def verbs(context: dict[str, Any], row: Model, main: str = "", hide: Any = ()) -> dict[str, list[Button]]:
    """Show the verbs that the reader may use on a row; `main`: keys, space separated, shown first; `hide`: keys."""
    request: HttpRequest = context["request"]
    found = shown.buttons(rights_of(request), row, main=main.split(), hide=hide)
    return {"now": [b for b in found if not b.reason], "later": [b for b in found if b.reason]}


@register.inclusion_tag("ringi/buttons.html", takes_context=True)
def new_verb(context: dict[str, Any], model: type[Model]) -> dict[str, list[Button]]:
    """Show the verb that makes a row of a model."""
    return {"now": shown.new_button(rights_of(context["request"]), model), "later": []}


@register.filter
def pretty(value: Any) -> str:
    """Return a value of a JSON document as text: as it is when it is one, else indented JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


@register.filter
def unlocalized(value: Any) -> str:
    """Return a number without the reader's separators, for attributes and identifiers."""
    return str(value)


@register.filter
def seconds(at: datetime) -> str:
    """Return the seconds of a time with milliseconds, to stand behind its minutes."""
    return f":{at:%S}.{at.microsecond // 1000:03d}"
