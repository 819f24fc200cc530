"""Reads the configuration file; every command begins here."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dataset_service import keys


class BadSettings(Exception):
    """The configuration can't be used; the message names the key or the line."""


@dataclass(frozen=True)
class Settings:
    """The values of one configuration file over the defaults."""

    values: Mapping[str, str]

    def text(self, key: str) -> str:
        """Return the value of `key`. Raises BadSettings when it is missing or empty."""
        value = self.values.get(key, "")
        if not value:
            raise BadSettings(f"the configuration has no {key}")
        return value

    def number(self, key: str) -> float:
        """Return the value of `key` as a number of at least 0. Raises BadSettings."""
        try:
            number = float(self.text(key))
        except ValueError:
            raise BadSettings(f"{key} is not a number") from None
        if not 0 <= number < 1_000_000_000:
            raise BadSettings(f"{key} is out of range")
        return number

    def require(self, names: Iterable[str] = keys.REQUIRED) -> None:
        """Refuse to go on without one of `names`. Raises BadSettings."""
        missing = [name for name in names if not self.values.get(name)]
        if missing:
            raise BadSettings("the configuration has no " + ", ".join(missing))


def unquoted(text: str) -> str:
    """Return the value of a `KEY="value"` line; what is in quotes is a JSON string. Raises ValueError."""
    return json.loads(text) if text.startswith('"') else text


def parse(text: str) -> Settings:
    """Return the settings written in `text`. Raises BadSettings naming the line."""
    values = dict(keys.DEFAULTS)
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        key, separator, value = line.partition("=")
        try:
            if not separator or not key.strip().isidentifier():
                raise ValueError
            values[key.strip()] = unquoted(value.strip())
        except ValueError:
            raise BadSettings(f'line {number} of the configuration is not KEY="value"') from None
    return Settings(values)


def read(path: Path) -> Settings:
    """Return the settings of the file at `path`. Raises BadSettings."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"the configuration can't be read: {error}") from error
    return parse(text)
