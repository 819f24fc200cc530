"""Units of systemd as files. Standard library only: the stand-in for systemctl reads them with Debian's Python."""

from __future__ import annotations

from pathlib import Path

PLACES = (Path("/etc/systemd/system"), Path("/usr/lib/systemd/system"))
Unit = dict[str, list[str]]


def read(*files: Path, instance: str = "") -> Unit:
    """Return key → values in order, of a unit and its drop-ins, with `%i` filled in; an empty value takes back those
    before, as in systemd.
    """
    found: Unit = {}
    for file in files:
        for line in file.read_text(encoding="utf-8").replace("\\\n", "").splitlines():
            key, equals, value = (part.strip() for part in line.partition("="))
            if not equals or line.startswith(("#", ";", "[")):
                continue
            if not value:
                found[key] = [""]
            else:
                kept = [one for one in found.get(key, []) if one]
                found[key] = [*kept, value.replace("%i", instance).replace("%%", "%")]
    return found


def installed(name: str) -> Unit:
    """Return an installed unit by its name, such as `ringi-worker@production`. Raises FileNotFoundError."""
    name = name.removesuffix(".service")
    top, at, instance = name.partition("@")
    names = dict.fromkeys((f"{name}.service", f"{top}{at}.service"))
    for file in (place / one for one in names for place in PLACES):
        if file.is_file():
            drop_ins = [more for one in names for more in sorted((PLACES[0] / f"{one}.d").glob("*.conf"))]
            return read(file, *drop_ins, instance=instance)
    raise FileNotFoundError(f"there is no unit {name}")


def one(unit: Unit, key: str, default: str = "") -> str:
    """Return the last value of a key."""
    return unit.get(key, [default])[-1]


def words(unit: Unit, key: str) -> list[str]:
    """Return the words of all values of a key."""
    return " ".join(unit.get(key, [])).split()
