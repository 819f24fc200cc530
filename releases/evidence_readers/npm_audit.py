"""npm audit --json: its own counts by severity."""

from django.utils.translation import gettext as _

from releases.evidence_readers.base import BadEvidence, Document, Form, Reading
from releases.evidence_readers.security_scan import counted


def read(document: Document) -> Reading:
    """Return the counts. Raises BadEvidence where npm could not request advisories, or had no package to ask about."""
    if "error" in document.object:
        raise BadEvidence(_("npm could not audit: the file holds its error, not a report. Run npm audit again."))
    metadata = document.object.get("metadata")
    counts = metadata.get("vulnerabilities") if isinstance(metadata, dict) else None
    if not isinstance(counts, dict):
        raise BadEvidence(_("The report names no counts by severity."))
    found = {name: count for name, count in counts.items() if name != "total"}
    if not found or any(not isinstance(n, int) or isinstance(n, bool) or not 0 <= n < 10**6 for n in found.values()):
        raise BadEvidence(_("The report names no counts by severity."))
    packages = metadata.get("dependencies") if isinstance(metadata, dict) else None
    examined = packages.get("total", 1) if isinstance(packages, dict) else packages != 0
    return counted("npm audit", (name for name, count in found.items() for _one in range(count)), examined=examined)


FORM = Form(
    "security_scan",
    "npm audit --json",
    '{"auditReportVersion": 2, "vulnerabilities": {}, "metadata": {"vulnerabilities": {"high": 0, "total": 0}}}',
    lambda document: (
        "auditReportVersion" in document.object
        or "advisories" in document.object
        or {"error", "statusCode"} <= document.object.keys()
    ),
    read,
)
