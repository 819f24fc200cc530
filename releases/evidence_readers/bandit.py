"""Bandit's JSON: the severity of each issue, and the files that Bandit could not read."""

from releases.evidence_readers.base import Document, Form, Reading
from releases.evidence_readers.security_scan import counted, objects


def read(document: Document) -> Reading:
    """Return the severities; an unreadable file was not examined. Raises BadEvidence when no file was examined."""
    issues = objects(document.object["results"])
    unread = len(objects(document.object.get("errors")))
    metrics = document.object["metrics"]
    files = set(metrics) - {"_totals"} if isinstance(metrics, dict) else ()
    return counted("Bandit", (row.get("issue_severity") for row in issues), unrated=unread, examined=files)


FORM = Form(
    "security_scan",
    "bandit -f json",
    '{"results": [{"issue_severity": "HIGH"}], "errors": [], "metrics": {}}',
    lambda document: "metrics" in document.object and "results" in document.object and "errors" in document.object,
    read,
)
