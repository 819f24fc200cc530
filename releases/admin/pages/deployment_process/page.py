"""The versions of an application's deployment process in readable form, and their templates."""

from pathlib import Path
from typing import Any, ClassVar

from django.db.models import Model
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from audit.admin.read_only import ReadOnlyAdmin, cell
from environments.models import Application
from environments.times import stamp
from releases.admin.pages.procedure.page import PROCESS_SECTIONS, SECTIONS, Line, Section, Value, lines_of
from releases.models import DeploymentProcess, Procedure
from releases.operations.release.plan import active_procedure
from releases.procedures import process as processes
from releases.procedures.save import as_text

TEMPLATES = Path(processes.__file__).with_name("processes")
# Name of a template → its label. The first is made of the procedure in effect.
LABELS = {
    "service-with-database": _("Service with a database: the steps of the release procedure"),
    "database": _("Service with a database: backup, migration, restart"),
    "service": _("Service without a database"),
    "static-files": _("Static files behind a web server"),
    "containers": _("Service in a container"),
    "pipeline": _("Pipeline that deploys already"),
}


def template_text(name: str, application: Application | None = None) -> str:
    """Return the TOML of a template, for an application that follows a procedure; empty for a name that is none."""
    if name == "service-with-database":
        active = Procedure.objects.of(application)
        if active is None:
            return ""
        own = {key: getattr(active.document, key) for key in processes.SECTIONS}
        return as_text(processes.Process.model_construct(format=1, **own))
    return (TEMPLATES / f"{name}.toml").read_text("utf-8") if name in LABELS else ""


# What a process alone has; its other sections stand in place of the procedure's.
OWN = ("artefact", "strategy", "variables")


def process_contents(process: DeploymentProcess, base_number: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return two contents to compare, with the sections of the procedure in effect where a version has none of its own:
    of the version with this number ("": the procedure's own steps), and of `process`.
    """
    procedure = active_procedure(process.application).document
    rows = DeploymentProcess.objects.filter(application=process.application_id)
    base = rows.get(number=base_number) if base_number else None
    found = []
    for row in (base, process):
        whole = row.applied_to(procedure) if row is not None else procedure
        shown = whole.model_dump(mode="json", include=set(processes.SECTIONS))
        own = row.content if row is not None else {}
        found.append({name: own[name] for name in OWN if name in own} | shown)
    return found[0], found[1]


def sections_of(process: DeploymentProcess) -> list[Section]:
    """Return the sections that a version has of its own, row by row."""
    document = process.document
    shared = ((key, words) for key, words in SECTIONS if key in processes.SECTIONS)
    named = (*((key, PROCESS_SECTIONS[key]) for key in OWN), *shared)
    own = ((key, words, getattr(document, key)) for key, words in named)
    return [Section(key, str(words), lines_of(key, value) or _row(key, value)) for key, words, value in own if value]


def _row(key: str, value: Any) -> list[Line]:
    return [Line(key, "", "", [Value(key, str(value), is_default=False)], origin="", depth=0)]


class DeploymentProcessAdmin(ReadOnlyAdmin):
    """Versions of the deployment processes."""

    list_display = ("__str__", "state", "reason", "author", "created", "since")
    list_select_related = ("application", "author")
    list_filter = ("application", "state")
    ordering = ("-pk",)
    shown_fields = ("application", "number", "state", "reason", "author", "created_at", "in_effect_at", "digest")
    detail_template: ClassVar[str] = "pages/deployment_process/deployment_process.html"
    hint = _(
        "A deployment process has the steps, checks and rollback triggers of one application. A new version is made on "
        "the page of its application. For a protected environment it needs approval."
    )

    created = cell(stamp, "created_at", _("created"), "created_at")
    since = cell(stamp, "in_effect_at", _("effective since"), "in_effect_at")

    def extra(self, request: HttpRequest, row: Model) -> dict[str, Any]:
        """Add the document and its approval requests."""
        assert isinstance(row, DeploymentProcess)
        return {
            "sections": sections_of(row),
            "text": as_text(row.document),
            "approval_requests": row.approval_requests.all()[:10],
            "releases": row.releases.select_related("application").order_by("-pk")[:10],
        }
