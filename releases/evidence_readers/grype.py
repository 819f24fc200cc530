"""Grype's JSON: the severity of each match."""

from releases.evidence_readers.base import Document, Form, Reading
from releases.evidence_readers.security_scan import counted, objects


def read(document: Document) -> Reading:
    """Return the severity of each match; Grype's ignored matches are not among them."""
    found = [row.get("vulnerability") for row in objects(document.object["matches"])]
    source = document.object.get("source")
    target = source.get("target") if isinstance(source, dict) else None
    name = target.get("userInput") if isinstance(target, dict) else target
    return counted("Grype", (row.get("severity") if isinstance(row, dict) else None for row in found), of=[name])


FORM = Form(
    "security_scan",
    "Grype JSON",
    '{"matches": [{"vulnerability": {"severity": "High"}}], "descriptor": {"name": "grype"}}',
    lambda document: "matches" in document.object and "descriptor" in document.object,
    read,
)
