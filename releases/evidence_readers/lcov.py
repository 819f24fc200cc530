"""lcov's trace file: the lines of each source file, counted once for files with several entries."""

from django.utils.translation import gettext as _

from releases.evidence_readers.base import BadEvidence, Document, Form, Reading
from releases.evidence_readers.coverage import lines


def read(document: Document) -> Reading:
    """Count the lines (DA) of each file (SF); a line is covered when a part of the report ran it."""
    runs: dict[tuple[str, str], bool] = {}
    file = ""
    for text in document.text.splitlines():
        name, _colon, value = text.partition(":")
        if name == "SF":
            file = value
        elif name == "DA":
            number, _comma, rest = value.partition(",")
            times = rest.split(",")[0]
            if not (
                number.isascii() and number.isdigit() and times.lstrip("-").isascii() and times.lstrip("-").isdigit()
            ):
                raise BadEvidence(_("A line of the trace file cannot be read: %(line)s") % {"line": text[:80]})
            runs[file, number] = runs.get((file, number), False) or int(times) > 0
    if not runs:
        raise BadEvidence(_("The report contains no line coverage."))
    return lines(sum(runs.values()), len(runs), "lcov")


FORM = Form(
    "coverage",
    "lcov trace file",
    "SF:src/app.py … DA:1,5 … end_of_record",
    lambda document: document.text.lstrip().startswith(("TN:", "SF:")),
    read,
)
