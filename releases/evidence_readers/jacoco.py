"""JaCoCo's XML: covered and missed lines of the whole report."""

from django.utils.translation import gettext as _

from releases.evidence_readers.base import BadEvidence, Document, Form, Reading, count_of
from releases.evidence_readers.coverage import lines


def read(document: Document) -> Reading:
    """Return the report's own counter of lines. Raises BadEvidence without one."""
    assert document.root is not None
    name = document.root.get("name", "")
    modules = {f"{name} {package.get('name')}" for package in document.root.iter("package")}
    for counter in document.root.findall("counter"):
        if counter.get("type") == "LINE":
            missed, covered = count_of(counter, "missed"), count_of(counter, "covered")
            if missed is not None and covered is not None:
                return lines(covered, covered + missed, "JaCoCo", modules)
    raise BadEvidence(_("The report contains no line coverage."))


FORM = Form(
    "coverage",
    "JaCoCo XML",
    '<report name="…"><counter type="LINE" missed="…" covered="…"/></report>',
    lambda document: document.root is not None and document.root.tag == "report",
    read,
)
