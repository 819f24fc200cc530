"""coverage.py's JSON: covered statements in all."""

from releases.evidence_readers.base import Document, Form, Reading
from releases.evidence_readers.coverage import lines


def read(document: Document) -> Reading:
    """Return the totals of lines, without branches. Raises BadEvidence for invalid totals."""
    totals = document.object["totals"]
    found = totals if isinstance(totals, dict) else {}
    files = document.object.get("files")
    named = files if isinstance(files, dict) else ()
    return lines(found.get("covered_lines"), found.get("num_statements"), "coverage.py", named)


FORM = Form(
    "coverage",
    "coverage json",
    '{"meta": {…}, "totals": {"covered_lines": …, "num_statements": …}}',
    lambda document: "totals" in document.object and "meta" in document.object,
    read,
)
