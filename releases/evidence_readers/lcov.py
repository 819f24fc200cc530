"""lcov's trace file: the lines of each source file, counted once for files with several entries."""

import re

from django.utils.translation import gettext as _

from releases.evidence_readers.base import BadEvidence, Document, Form, Reading
from releases.evidence_readers.coverage import lines

# The number of a line and how often it ran; a checksum may follow.
_COUNTED = re.compile(r"(\d{1,18}),(-?\d{1,18})(?=,|\s*$)", re.ASCII)


def read(document: Document) -> Reading:
    """Count the lines (DA) of each file (SF); a line is covered when a part of the report ran it.

    Raises BadEvidence for a file that ends within a record.
    """
    runs: dict[tuple[str, str], bool] = {}
    file = last = ""
    for text in document.text.splitlines():
        name, _colon, value = text.partition(":")
        if name == "SF":
            file = value
        elif name == "DA":
            counted = _COUNTED.match(value)
            if counted is None:
                raise BadEvidence(_("A line of the trace file cannot be read: %(line)s") % {"line": text[:80]})
            number, times = counted.groups()
            runs[file, number] = runs.get((file, number), False) or int(times) > 0
        if text.strip():
            last = text.strip()
    if last != "end_of_record":
        raise BadEvidence(
            _("The trace file is incomplete: it ends within the record of %(file)s.") % {"file": file[:80]}
        )
    if not runs:
        raise BadEvidence(_("The report contains no line coverage."))
    return lines(sum(runs.values()), len(runs), "lcov", {name for name, _number in runs})


FORM = Form(
    "coverage",
    "lcov trace file",
    "SF:src/app.py … DA:1,5 … end_of_record",
    lambda document: document.text.lstrip().startswith(("TN:", "SF:")),
    read,
)
