"""Trivy's JSON: vulnerabilities, misconfigurations and secrets of all scanned targets."""

from releases.evidence_readers.base import Document, Form, Reading
from releases.evidence_readers.security_scan import counted, objects

# Classes of results that show licences alone.
_LICENCES = ("license", "license-file")


def read(document: Document) -> Reading:
    """Return the severity of each finding. Raises BadEvidence when nothing was scanned.

    A system that gets no security updates any more was not examined: Trivy knows no findings in it.
    """
    results = objects(document.object.get("Results"))
    scanned = [result for result in results if result.get("Class") not in _LICENCES]
    metadata = document.object.get("Metadata")
    system = metadata.get("OS") if isinstance(metadata, dict) else None
    ended = isinstance(system, dict) and system.get("EOSL") is True
    found = []
    for result in results:
        failed = [row for row in objects(result.get("Misconfigurations")) if row.get("Status", "FAIL") == "FAIL"]
        found += [*objects(result.get("Vulnerabilities")), *failed, *objects(result.get("Secrets"))]
    severities, artefact = (row.get("Severity") for row in found), document.object["ArtifactName"]
    return counted("Trivy", severities, unrated=int(ended), examined=scanned, of=[artefact])


FORM = Form(
    "security_scan",
    "Trivy JSON",
    '{"SchemaVersion": 2, "ArtifactName": "…", "Results": [{"Vulnerabilities": [{"Severity": "HIGH"}]}]}',
    lambda document: "SchemaVersion" in document.object and "ArtifactName" in document.object,
    read,
)
