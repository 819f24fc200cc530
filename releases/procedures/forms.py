"""Values of a form that no rule between the parts can read, and characters that no column keeps."""

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from django.utils.translation import gettext as _

from releases.procedures.places import Path
from releases.procedures.rows import Found, Raw, rows_of


def readable(raw: Mapping[str, Any], wrong: Iterable[Path]) -> dict[str, Any]:
    """Return plain values with None in place of each list or table that stands where a text or number is expected.
    wrong: the places at which the models found a value of another form.
    """
    found = _copy(raw)
    for path in wrong:
        here = found
        for part in path[:-1]:
            here = _inner(here, part)
        if isinstance(_inner(here, path[-1]) if path else None, Mapping | list | tuple):
            here[path[-1]] = None
    return found


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _copy(inner) for name, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list | tuple) else value


def _inner(value: Any, part: str | int) -> Any:
    known = isinstance(value, Mapping) and part in value
    known |= isinstance(value, list) and isinstance(part, int) and part < len(value)
    return value[part] if known else None


def form_faults(raw: Raw) -> Found:
    """Yield (path, sentence) for each text that cannot be stored, and for each share above the whole."""
    waiting: list[tuple[Path, Any]] = [((), raw)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [((*path, name), inner) for name, inner in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [((*path, index), inner) for index, inner in enumerate(value)]
        elif isinstance(value, str) and "\0" in value:
            yield path, _("has the character U+0000, which cannot be stored")
    monitoring = raw.get("monitoring")
    shares = [((*path, "value"), row.get("value")) for path, row in rows_of(raw, "thresholds") if _is_share(row)]
    if isinstance(monitoring, Mapping):
        shares.append((("monitoring", "measurements_min"), monitoring.get("measurements_min")))
    for path, share in shares:
        if isinstance(share, str | int) and _above_one(share):
            yield path, _('is a share, from "0" to "1": write "0.80" for 80%')


def _is_share(row: Raw) -> bool:
    return row.get("key") == "coverage_min"


def _above_one(share: str | int) -> bool:
    try:
        return Decimal(share) > 1
    except InvalidOperation:
        return False
