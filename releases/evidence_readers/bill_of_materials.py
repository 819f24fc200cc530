"""CycloneDX with vulnerabilities, by their worst rating. A list of components alone, also of SPDX, is no scan."""

from typing import Any

from django.utils.translation import gettext as _

from releases.evidence_readers.base import BadEvidence, Document, Form, Reading
from releases.evidence_readers.security_scan import SEVERITIES, counted, objects

# Analysis states of a component that is not exposed.
_SETTLED = {"resolved", "resolved_with_pedigree", "false_positive", "not_affected"}


def _worst(row: dict[str, Any]) -> str:
    rated = [str(rating.get("severity")).lower() for rating in objects(row.get("ratings"))]
    return min(rated, key=lambda word: SEVERITIES.index(word) if word in SEVERITIES else len(SEVERITIES), default="")


def read(document: Document) -> Reading:
    """Return the worst rating of each vulnerability that its analysis leaves open. Raises BadEvidence without any."""
    # Trivy writes an empty list where it has only listed the components.
    if not document.object.get("vulnerabilities"):
        raise BadEvidence(
            _(
                "The file lists components and no vulnerabilities. Upload the report of a scanner that has read "
                "this file."
            )
        )
    found = []
    for row in objects(document.object["vulnerabilities"]):
        analysis = row.get("analysis")
        if not (isinstance(analysis, dict) and analysis.get("state") in _SETTLED):
            found.append(_worst(row))
    metadata = document.object.get("metadata")
    component = metadata.get("component") if isinstance(metadata, dict) else None
    return counted("CycloneDX", found, of=[component.get("name")] if isinstance(component, dict) else ())


FORM = Form(
    "security_scan",
    "CycloneDX JSON with vulnerabilities",
    '{"bomFormat": "CycloneDX", "vulnerabilities": [{"ratings": [{"severity": "high"}]}]}',
    lambda document: document.object.get("bomFormat") == "CycloneDX" or "spdxVersion" in document.object,
    read,
)
