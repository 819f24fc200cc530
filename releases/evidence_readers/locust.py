"""Locust's `…_stats.csv`: the row of all requests together."""

import csv
import io

from django.utils.translation import gettext as _

from releases.evidence_readers.base import BadEvidence, Document, Form, Reading
from releases.evidence_readers.performance import measured


def read(document: Document) -> Reading:
    """Return the 95th percentile (milliseconds), requests and failures of the row “Aggregated”."""
    for row in csv.DictReader(io.StringIO(document.text)):
        if row.get("Name") == "Aggregated":
            return measured("Locust", row.get("95%"), row.get("Request Count"), row.get("Failure Count"))
    raise BadEvidence(_("The report has no total row for all requests."))


FORM = Form(
    "performance",
    "Locust stats CSV",
    "Type,Name,Request Count,Failure Count,…,95%,…",
    lambda document: document.text.startswith("Type,Name,Request Count,"),
    read,
)
