"""Trivy's JSON: vulnerabilities, misconfigurations and secrets of all scanned targets."""

from django.utils.translation import gettext as _

from releases.evidence_readers.base import BadEvidence, Document, Form, Reading
from releases.evidence_readers.security_scan import counted, objects


def read(document: Document) -> Reading:
    """Return the severity of each finding. Raises BadEvidence when nothing was scanned."""
    results = objects(document.object.get("Results"))
    if not results:
        raise BadEvidence(_("The report names nothing that was scanned."))
    found = []
    for result in results:
        failed = [row for row in objects(result.get("Misconfigurations")) if row.get("Status", "FAIL") == "FAIL"]
        found += [*objects(result.get("Vulnerabilities")), *failed, *objects(result.get("Secrets"))]
    return counted("Trivy", (row.get("Severity") for row in found))


FORM = Form(
    "security_scan",
    "Trivy JSON",
    '{"SchemaVersion": 2, "ArtifactName": "…", "Results": [{"Vulnerabilities": [{"Severity": "HIGH"}]}]}',
    lambda document: "SchemaVersion" in document.object and "ArtifactName" in document.object,
    read,
)
