"""The message of a tag: the named version, date and changes, and the message that the product writes."""

import re
from collections.abc import Sequence
from datetime import date

_DATE = re.compile(r"(?<!\d)(\d{4})(?:-|/|年)(\d{1,2})(?:-|/|月)(\d{1,2})(?!\d)", re.ASCII)
_TRAILER = re.compile(r"^[A-Za-z][A-Za-z-]*: ", re.ASCII)
_CONVENTIONAL = re.compile(
    r"^(feat|feature|fix|perf|refactor|revert|docs|style|test|build|ci|chore)(?:\([^()]*\))?(!)?:\s", re.IGNORECASE
)
_BULLET = re.compile(r"^\s*[-*•・]\s*")


def unsigned(body: str) -> str:
    """Return the message in the body of a tag object, without its signature."""
    return re.split(r"(?m)^-----BEGIN (?:PGP|SSH) ", body)[0].strip()


def tag_message(version: str, day: date, changes: Sequence[str]) -> str:
    """Return the message of a tag: version, date and one line a change."""
    lines = [" ".join(change.split()) for change in changes]
    return "\n".join([f"{version} ({day.isoformat()})", "", *(f"- {line}" for line in lines if line), ""])


def names_version(message: str, version: str) -> bool:
    """Tell whether a message names exactly this version."""
    return bool(
        re.search(rf"(?<![0-9A-Za-z.\-+]){re.escape('v')}?{re.escape(version)}(?![0-9A-Za-z\-+]|\.\d)", message)
    )


def names_date(message: str) -> bool:
    """Tell whether a message names an existing day."""
    for year, month, day in _DATE.findall(message):
        try:
            date(int(year), int(month), int(day))
        except ValueError:
            continue
        return True
    return False


def changes(message: str, version: str) -> list[str]:
    """Return the changes in a message: its bullets, else every line that is not version, date or trailer."""
    lines = [line for line in message.splitlines() if _is_change(line, version)]
    bullets = [line for line in lines if _BULLET.match(line)]
    if not bullets:
        return [line.strip() for line in lines]
    found: list[str] = []
    for line in lines:
        if _BULLET.match(line):
            found.append(_BULLET.sub("", line).strip())
        elif found and line[:1].isspace():
            found[-1] += " " + line.strip()
    return found


def kind_of(text: str) -> str:
    """Return the type of a change line by convention (`feat:`, `fix:`, `feat!:`), else `small`."""
    named = _CONVENTIONAL.match(text)
    if "BREAKING CHANGE" in text or (named and named[2]):
        return "breaking"
    return {"feat": "feature", "feature": "feature", "fix": "fix"}.get(named[1].lower() if named else "", "small")


def _is_change(line: str, version: str) -> bool:
    rest = _DATE.sub("", line).replace(f"v{version}", "").replace(version, "")
    if (_TRAILER.match(line) and not _CONVENTIONAL.match(line)) or len(re.findall(r"\w", rest)) < 3:
        return False
    return rest.strip(" \t-*#()（）:：日").casefold() not in ("", "release", "version", "リリース", "バージョン")
