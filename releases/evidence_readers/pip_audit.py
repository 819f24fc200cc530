"""pip-audit's JSON: known vulnerabilities of each package. It states no severities."""

from releases.evidence_readers.base import Document, Form, Reading
from releases.evidence_readers.security_scan import counted, objects


def read(document: Document) -> Reading:
    """Count the findings, and each skipped package: neither is rated, so neither passes a gate.

    Raises BadEvidence without any package.
    """
    packages = objects(document.object["dependencies"])
    found = sum(len(objects(package.get("vulns"))) for package in packages)
    skipped = sum("skip_reason" in package for package in packages)
    return counted("pip-audit", (), unrated=found + skipped, examined=packages)


FORM = Form(
    "security_scan",
    "pip-audit JSON",
    '{"dependencies": [{"name": "…", "version": "…", "vulns": []}], "fixes": []}',
    lambda document: "dependencies" in document.object and "fixes" in document.object,
    read,
)
