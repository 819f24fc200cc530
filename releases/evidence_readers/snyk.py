"""Snyk's JSON, of one project or a list of them: the severity of each issue, once however many paths lead to it."""

from typing import Any

from django.utils.translation import gettext as _

from releases.evidence_readers.base import BadEvidence, Document, Form, Reading
from releases.evidence_readers.security_scan import counted, objects


def _projects(document: Document) -> list[Any]:
    return document.json if isinstance(document.json, list) else [document.json]


def _name(project: dict[str, Any]) -> str:
    return " ".join(str(project[key]) for key in ("projectName", "displayTargetFile") if project.get(key))


def read(document: Document) -> Reading:
    """Return the severities. Raises BadEvidence for a project that could not be tested, or without any package."""
    found: dict[tuple[str, str], Any] = {}
    projects = objects(_projects(document))
    # The JSON of a container lists the applications in it beside the packages of its system.
    projects += [inside for project in projects for inside in objects(project.get("applications"))]
    for number, project in enumerate(projects):
        if "vulnerabilities" not in project:
            text = _("Snyk could not test a project: %(error)s")
            raise BadEvidence(text % {"error": str(project.get("error"))[:200]})
        for row in objects(project["vulnerabilities"]):
            found[f"{number} {row.get('packageName')}", str(row.get("id"))] = row.get("severity")
    examined = any(project.get("dependencyCount") != 0 for project in projects)
    return counted("Snyk", found.values(), examined=examined, of=[_name(project) for project in projects])


FORM = Form(
    "security_scan",
    "snyk test --json",
    '{"ok": true, "vulnerabilities": [], "packageManager": "npm"}',
    lambda document: (
        bool(_projects(document)) and all(isinstance(one, dict) and "ok" in one for one in _projects(document))
    ),
    read,
)
