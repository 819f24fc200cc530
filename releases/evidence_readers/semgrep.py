"""Semgrep's JSON: the severity of each result, and the errors of the scan itself."""

from typing import Any

from releases.evidence_readers.base import Document, Form, Reading
from releases.evidence_readers.security_scan import counted, objects

_LEVELS = {"ERROR": "high", "WARNING": "medium", "INFO": "low"}


def _extra(row: dict[str, Any]) -> dict[str, Any]:
    extra = row.get("extra")
    return extra if isinstance(extra, dict) else {}


def read(document: Document) -> Reading:
    """Return the severities (ERROR is high, WARNING medium, INFO low) without findings that a comment ignores.

    Raises BadEvidence when no file was examined.
    """
    found = [_extra(row) for row in objects(document.object["results"])]
    severities = [str(extra.get("severity")) for extra in found if extra.get("is_ignored") is not True]
    # A warning names a file, or a part of one, that Semgrep could not read, or not in time.
    unread = sum(row.get("level") != "info" for row in objects(document.object["errors"]))
    paths = document.object["paths"]
    examined = paths.get("scanned") if isinstance(paths, dict) else None
    return counted("Semgrep", (_LEVELS.get(word, word) for word in severities), unrated=unread, examined=examined)


FORM = Form(
    "security_scan",
    "semgrep --json",
    '{"results": [{"check_id": "…", "extra": {"severity": "ERROR"}}], "errors": [], "paths": {}}',
    lambda document: {"results", "errors", "paths"} <= document.object.keys(),
    read,
)
