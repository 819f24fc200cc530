"""Finds passwords and other secrets in what is kept in clear: settings, plain configuration values, steps of a
procedure.

What is found is refused where it is entered, because the ledger keeps it for good; secrets belong into a configuration.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

_NAME = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|credentials?|authorization"
    r"|api[_-]?key|access[_-]?key|private[_-]?key)"
)
_SECRET_NAME = re.compile(rf"(?:^|.*[^a-z]){_NAME}\Z", re.IGNORECASE)
# A place that something else fills in (`{root}`, `$HOME`, `<name>`) and a pattern's group are no secret.
_GIVEN = re.compile(r"\s*[^\s{$<(\[]")
_ASSIGNED = re.compile(
    rf"(?<![a-z])(?:pg|mysql_)?{_NAME}[\"']?\s*[=:]\s*[\"']?(?:(?:bearer|basic)\s+)?[^\s{{$<(\[\"']", re.IGNORECASE
)
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#]*", re.IGNORECASE)
_KEY = "-----BEGIN "


def has_password(value: str) -> bool:
    """Tell whether a text holds an address that carries a password; what cannot be read as an address is taken to."""
    for address in _ADDRESS.findall(value):
        try:
            if urlsplit(address).password is not None:
                return True
        except ValueError:
            return True
    return False


def reveals_secret(value: Any, name: str = "") -> Iterator[str]:
    """Yield the dotted name of each value that is, or seems to be, a secret in clear; the secret itself is not
    yielded.
    """
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from reveals_secret(part, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for before, part in zip(["", *value], value, strict=False):
            option = isinstance(before, str) and before.startswith("-") and bool(_SECRET_NAME.match(before))
            if option and isinstance(part, str) and _GIVEN.match(part) and not part.startswith("-"):
                yield name
            else:
                yield from reveals_secret(part, name)
    elif isinstance(value, str) and _reveals(value, name.rpartition(".")[2]):
        yield name


def _reveals(text: str, name: str) -> bool:
    named = bool(_SECRET_NAME.match(name) and _GIVEN.match(text))
    return named or _KEY in text and "PRIVATE KEY" in text or has_password(text) or bool(_ASSIGNED.search(text))
