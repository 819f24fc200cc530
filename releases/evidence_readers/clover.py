"""Clover's XML: statements and covered statements of the project."""

from releases.evidence_readers.base import Document, Form, Reading, count_of
from releases.evidence_readers.coverage import lines


def read(document: Document) -> Reading:
    """Return the project's own counts, in which a statement stands for a line. Raises BadEvidence without them."""
    metrics = document.root.find("project/metrics") if document.root is not None else None
    assert metrics is not None
    return lines(count_of(metrics, "coveredstatements"), count_of(metrics, "statements"), "Clover")


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
