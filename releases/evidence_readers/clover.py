"""Clover's XML: statements and covered statements of the project."""

from releases.evidence_readers.base import Document, Form, Reading, count_of
from releases.evidence_readers.coverage import lines


def read(document: Document) -> Reading:
    """Return the project's own counts, in which a statement stands for a line. Raises BadEvidence without them."""
    assert document.root is not None
    metrics = document.root.find("project/metrics")
    assert metrics is not None
    files = {one.get("path") or one.get("name") or "" for one in document.root.iter("file")}
    return lines(count_of(metrics, "coveredstatements"), count_of(metrics, "statements"), "Clover", files)


FORM = Form(
    "coverage",
    "Clover XML",
    '<coverage><project><metrics statements="…" coveredstatements="…"/></project></coverage>',
    lambda document: (
        document.root is not None
        and document.root.tag == "coverage"
        and document.root.find("project/metrics") is not None
    ),
    read,
)
