"""JMeter's results (JTL) as CSV: the time of each sample."""

import csv
import io
from math import ceil

from django.utils.translation import gettext as _

from releases.evidence_readers.base import BadEvidence, Document, Form, Reading
from releases.evidence_readers.performance import measured


def read(document: Document) -> Reading:
    """Return the 95th percentile of all samples by nearest rank, and the number of unsuccessful ones."""
    times, failed = [], 0
    for row in csv.DictReader(io.StringIO(document.text)):
        elapsed = str(row.get("elapsed"))
        if not (elapsed.isascii() and elapsed.isdigit() and len(elapsed) < 12):
            raise BadEvidence(_("A sample has no time: %(time)s") % {"time": elapsed[:40]})
        times.append(int(elapsed))
        failed += str(row.get("success")).lower() != "true"
    if not times:
        raise BadEvidence(_("The report holds no sample."))
    return measured("JMeter", sorted(times)[ceil(0.95 * len(times)) - 1], len(times), failed)


FORM = Form(
    "performance",
    "JMeter results as CSV",
    "timeStamp,elapsed,label,…,success,…",
    lambda document: document.text.startswith("timeStamp,elapsed,") and "success" in document.text.split("\n", 1)[0],
    read,
)
