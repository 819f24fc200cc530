"""Lists of releases, deployments, rollbacks and their rows; their detail pages are the product's own pages."""

import re
import unicodedata
from typing import Any

from django.contrib import admin
from django.db.models import Case, Model, OuterRef, QuerySet, Subquery, When
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext, gettext_lazy as _

from audit.admin.read_only import ReadOnlyAdmin, cell, column
from environments.admin import SeenOnly
from environments.language import listed
from environments.models.role import names_of
from environments.times import stamp
from releases.admin.components.links import page_of
from releases.admin.lists import ledger_lists, notification_lists
from releases.admin.pages.deployment_process.page import DeploymentProcessAdmin
from releases.admin.pages.emergency_stop.page import EmergencyStopAdmin
from releases.admin.pages.procedure.page import ProcedureAdmin
from releases.models import (
    Artefact,
    DeployedVersion,
    Deployment,
    DeploymentProcess,
    Evidence,
    FollowUp,
    Milestone,
    Procedure,
    Release,
    Rollback,
)

# Beginnings of values in a column with an index: a version, a number of the fiscal year, a commit.
_CODES = (
    ("version", re.compile(r"v?(\d+\.[\w.+-]+)")),
    ("number", re.compile(r"(FY\d{4}(?:-\d*)?)")),
    ("commit", re.compile(r"([0-9a-f]{7,40})")),
)


# Whom a release waits for in each state: in words, or the roles that have the permissions of a shipped role. Its page
# names the people.
_WAITS_FOR_ROLE = {"testing_completed": "release_manager", "final_check_completed": "operator"}
_WAITS_FOR = {
    "scope_locked": _("release team"),
    "in_review": _("approvers"),
    "approved": _("signatures of the final check"),
    "releasing": _("deployment"),
    "monitoring": _("end of monitoring"),
}


class OwnPage(ReadOnlyAdmin):
    """A model whose rows have a page of their own; `release_path` leads to the release, for the search."""

    release_path = ""

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """Search a version, number or commit by its index; anything else, or without a match, everywhere."""
        plain = unicodedata.normalize("NFKC", search_term).strip()
        for field, shape in _CODES:
            if known := shape.fullmatch(plain):
                found = queryset.filter(**{f"{self.release_path}{field}__startswith": known[1]})
                if found.exists():
                    return found, False
        return super().get_search_results(request, queryset, search_term)

    def detail(self, request: HttpRequest, row: Model) -> HttpResponse:
        """Redirect to that page."""
        return HttpResponseRedirect(page_of(row))


@admin.register(Release)
class ReleaseAdmin(OwnPage):
    """All releases."""

    list_display = ("__str__", "number", "state", "waits_for", "next_due", "opens", "title")
    more_columns = ("kind", "author", "risk", "ticket", "commit")
    list_select_related = ("application", "author")
    list_filter = ("state", "kind", "application")
    ordering = ("-pk",)
    search_fields = (
        "version",
        "number",
        "title",
        "commit",
        "ticket",
        "application__name",
        "author__display_name",
        "author__username",
    )
    hint = _("A release is a version of an application on its way to production.")

    opens = cell(stamp, "scheduled_start_at", _("T-0"), "scheduled_start_at")
    next_due = cell(stamp, "next_due", _("next due"), "next_due")

    def get_queryset(self, request: HttpRequest) -> Any:
        """Add when the next milestone is due, of releases that are prepared."""
        open_ones = Milestone.objects.filter(release=OuterRef("pk"), done_at=None).order_by("due_at")
        due = Case(When(state__in=Release.PREPARING, then=Subquery(open_ones.values("due_at")[:1])))
        return super().get_queryset(request).annotate(next_due=due)

    @column(_("waits for"))
    def waits_for(self, row: Release) -> str:
        """Return who acts next."""
        if row.state == "draft":
            return str(row.author)
        if row.state in _WAITS_FOR_ROLE:
            return listed(names_of(_WAITS_FOR_ROLE[row.state])) or "—"
        return str(_WAITS_FOR.get(row.state, "—"))


@admin.register(Deployment)
class DeploymentAdmin(OwnPage):
    """All deployments."""

    list_display = ("__str__", "state", "hour", "scheduled_by", "verified_by")
    list_select_related = ("release__application", "environment", "scheduled_by", "verified_by")
    list_filter = ("state", "environment", "application")
    lookups = frozenset({"release__id__exact"})
    ordering = ("-pk",)
    search_fields = (
        "release__version",
        "release__number",
        "release__commit",
        "scheduled_by__display_name",
        "verified_by__display_name",
    )
    release_path = "release__"
    hint = _("A deployment is requested on the page of its release.")

    hour = cell(stamp, "scheduled_start_at environment.zone", _("scheduled start"), "scheduled_start_at")


@admin.register(Rollback)
class RollbackAdmin(OwnPage):
    """All rollbacks."""

    list_display = ("__str__", "state", "critical", "raised", "raised_by", "restored")
    list_select_related = ("deployment__release__application", "deployment__environment", "raised_by")
    list_filter = ("state", "critical")
    ordering = ("-pk",)
    search_fields = ("deployment__release__version", "deployment__release__number", "note", "raised_by__display_name")
    release_path = "deployment__release__"
    hint = _("Monitoring raises a rollback automatically, or a person raises one on the page of a deployment.")

    raised = cell(stamp, "raised_at deployment.environment.zone", _("raised"), "raised_at")
    restored = cell(stamp, "restored_at deployment.environment.zone", _("restored"), "restored_at")


@admin.register(Evidence)
class EvidenceAdmin(ReadOnlyAdmin):
    """All uploaded evidence."""

    list_display = ("__str__", "application", "environment", "summary", "uploaded_by", "uploaded")
    list_select_related = ("application", "environment", "uploaded_by")
    list_filter = ("kind", ("superseded_by", admin.EmptyFieldListFilter), "environment", "application")
    lookups = frozenset({"tree__exact"})
    ordering = ("-pk",)
    search_fields = ("commit", "tree", "digest", "uploaded_by__display_name")
    shown_fields = (
        "application",
        "environment",
        "kind",
        "test_type",
        "suite",
        "tool",
        "commit",
        "tree",
        "summary",
        "values",
        "digest",
        "uploaded_by",
        "at",
        "superseded_by",
    )
    hint = _("CI uploads evidence through the API; people upload evidence on the page of the application.")

    def get_queryset(self, request: HttpRequest) -> Any:
        """Leave the files out of the query."""
        return super().get_queryset(request).defer("content")

    uploaded = cell(stamp, "at environment.zone", _("uploaded at"), "at")


@admin.register(Artefact)
class ArtefactAdmin(ReadOnlyAdmin):
    """All registered artefacts."""

    list_display = ("__str__", "application", "kind", "commit", "registered_by", "registered")
    list_select_related = ("application", "registered_by")
    list_filter = ("kind", "application")
    ordering = ("-pk",)
    search_fields = ("commit", "digest", "reference")
    shown_fields = (
        "application",
        "commit",
        "kind",
        "reference",
        "digest",
        "signature",
        "signed_payload",
        "registered_by",
        "at",
    )
    hint = _("CI registers what it has built of a commit through the API; people do it on the page of the application.")

    registered = cell(stamp, "at", _("registered at"), "at")


@admin.register(FollowUp)
class FollowUpAdmin(ReadOnlyAdmin):
    """All follow-up actions."""

    list_display = ("__str__", "release", "due", "completed", "completed_by", "note")
    list_select_related = ("release__application", "completed_by")
    list_filter = (("completed_at", admin.EmptyFieldListFilter), "application")
    search_fields = ("label_ja", "label_en", "release__version", "release__number", "completed_by__display_name")
    hint = _(
        "Checks skipped in an emergency become follow-up actions. An overdue follow-up action blocks the next "
        "regular release."
    )

    due = cell(stamp, "due_at", _("due"), "due_at")
    completed = cell(stamp, "completed_at", _("completed at"), "completed_at")


@admin.register(DeployedVersion)
class DeployedVersionAdmin(SeenOnly):
    """Deployed versions."""

    list_display = ("application", "environment", "release", "standing", "began", "how_shown")
    list_select_related = ("application", "environment", "release__application")
    list_filter = ("environment", "application")
    hint = _(
        "The deployed version changes when a deployment is verified, rolled back or resolved, and when a deployed "
        "version is registered."
    )

    standing = cell(lambda v: gettext("unknown") if v else gettext("known"), "unknown", _("known"))
    began = cell(stamp, "since environment.zone", _("since"), "since")

    @column(_("basis"))
    def how_shown(self, row: DeployedVersion) -> str:
        """Return how the version came to be deployed."""
        words = {
            "verified": gettext("verified"),
            "restored": gettext("restored"),
            "resolved": gettext("resolved"),
            "registered": gettext("registered"),
            "requested": gettext("registration requested"),
        }
        return words.get(row.basis, row.basis)


REGISTERED_BESIDE = (EmergencyStopAdmin, ledger_lists, notification_lists)
admin.site.register(Procedure, ProcedureAdmin)
admin.site.register(DeploymentProcess, DeploymentProcessAdmin)
