"""Lists of releases, runs, rollbacks and what belongs to them; their detail pages are the product's own pages."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from audit.admin.read_only import ReadOnlyAdmin, column
from environments.admin import SeenOnly
from environments.times import stamp
from releases.admin import ledger_lists, messages_lists
from releases.admin.links import page_of
from releases.admin.procedure_page import ProcedureAdmin
from releases.admin.stop_page import StopSwitchAdmin
from releases.models import Deployment, Evidence, InForce, Obligation, Procedure, Release, Rollback

# What stands at the beginning of a column with an index: a version, a number of the fiscal year, a commit.
_CODES = (
    ("version", re.compile(r"v?(\d+\.[\w.+-]+)")),
    ("number", re.compile(r"(FY\d{4}(?:-\d*)?)")),
    ("commit", re.compile(r"([0-9a-f]{7,40})")),
)


class OwnPage(ReadOnlyAdmin):
    """A model whose rows have a page of their own; `release_path` leads to the release, by which they are found."""

    release_path = ""

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """Look for a version, a number or a commit by its index; for anything else, and where none fits, everywhere."""
        plain = unicodedata.normalize("NFKC", search_term).strip()
        for field, shape in _CODES:
            if known := shape.fullmatch(plain):
                found = queryset.filter(**{f"{self.release_path}{field}__startswith": known[1]})
                if found.exists():
                    return found, False
        return super().get_search_results(request, queryset, search_term)

    def detail(self, request: HttpRequest, row: Model) -> HttpResponse:
        """Send to that page."""
        return HttpResponseRedirect(page_of(row))


@admin.register(Release)
class ReleaseAdmin(OwnPage):
    """All releases."""

    list_display = ("__str__", "number", "kind", "state", "title", "author", "opens")
    list_select_related = ("application", "author")
    list_filter = ("state", "kind", "application")
    lookups = frozenset({"state__exact", "kind__exact", "application__id__exact"})
    ordering = ("-pk",)
    search_fields = ("version", "number", "title", "commit", "ticket", "author__display_name", "author__username")
    hint = _("A release is a version of an application on its way to production.")

    @column(_("T-0"), "window_start")
    def opens(self, row: Release) -> str:
        """Return T-0."""
        return stamp(row.window_start)


@admin.register(Deployment)
class DeploymentAdmin(OwnPage):
    """All runs."""

    list_display = ("__str__", "state", "hour", "started_by", "verified_by")
    list_select_related = ("release__application", "environment", "started_by", "verified_by")
    list_filter = ("state", "environment", "application")
    lookups = frozenset({"state__exact", "environment__id__exact", "application__id__exact", "release__id__exact"})
    ordering = ("-pk",)
    search_fields = ("release__version", "release__number", "release__commit", "started_by__display_name",
                     "verified_by__display_name")  # fmt: skip
    release_path = "release__"
    hint = _("A run is requested on the page of its release.")

    @column(_("scheduled for"), "scheduled_for")
    def hour(self, row: Deployment) -> str:
        """Return the hour."""
        return stamp(row.scheduled_for, row.environment.zone)


@admin.register(Rollback)
class RollbackAdmin(OwnPage):
    """All ways back."""

    list_display = ("__str__", "state", "critical", "raised", "raised_by", "restored")
    list_select_related = ("deployment__release__application", "deployment__environment", "raised_by")
    list_filter = ("state", "critical")
    lookups = frozenset({"state__exact", "critical__exact"})
    ordering = ("-pk",)
    search_fields = ("deployment__release__version", "deployment__release__number", "note", "raised_by__display_name")
    release_path = "deployment__release__"
    hint = _("A rollback is raised by the watch, or by a person on the page of a run.")

    @column(_("raised"), "raised_at")
    def raised(self, row: Rollback) -> str:
        """Return when the alarm was raised."""
        return stamp(row.raised_at, row.deployment.environment.zone)

    @column(_("restored"), "restored_at")
    def restored(self, row: Rollback) -> str:
        """Return when the earlier state was back."""
        return stamp(row.restored_at, row.deployment.environment.zone)


@admin.register(Evidence)
class EvidenceAdmin(ReadOnlyAdmin):
    """All proof handed in."""

    list_display = ("__str__", "application", "environment", "sentence", "handed_in_by", "handed_in")
    list_select_related = ("application", "environment", "handed_in_by")
    list_filter = ("kind", ("superseded_by", admin.EmptyFieldListFilter), "environment", "application")
    lookups = frozenset(
        {"kind__exact", "superseded_by__isempty", "environment__id__exact", "application__id__exact", "tree__exact"}
    )
    ordering = ("-pk",)
    search_fields = ("commit", "tree", "digest", "handed_in_by__display_name")
    shown_fields = ("application", "environment", "kind", "test_type", "suite", "tool", "commit", "tree", "sentence",
                    "values", "digest", "handed_in_by", "at", "superseded_by")  # fmt: skip
    hint = _("CI hands evidence in through the API, people on the page of the application.")

    def get_queryset(self, request: HttpRequest) -> Any:
        """Leave the files themselves where they are."""
        return super().get_queryset(request).defer("content")

    @column(_("handed in"), "at")
    def handed_in(self, row: Evidence) -> str:
        """Return when."""
        return stamp(row.at, row.environment.zone)


@admin.register(Obligation)
class ObligationAdmin(ReadOnlyAdmin):
    """All debts."""

    list_display = ("__str__", "release", "due", "settled", "settled_by", "note")
    list_select_related = ("release__application", "settled_by")
    list_filter = (("settled_at", admin.EmptyFieldListFilter), "application")
    lookups = frozenset({"settled_at__isempty", "application__id__exact"})
    search_fields = ("label_ja", "label_en", "release__version", "release__number", "settled_by__display_name")
    hint = _("What was skipped in an emergency is owed afterwards; overdue, it blocks the next regular release.")

    @column(_("due"), "due_at")
    def due(self, row: Obligation) -> str:
        """Return when it is due."""
        return stamp(row.due_at)

    @column(_("settled at"), "settled_at")
    def settled(self, row: Obligation) -> str:
        """Return when it was settled."""
        return stamp(row.settled_at)


@admin.register(InForce)
class InForceAdmin(SeenOnly):
    """What runs where."""

    list_display = ("application", "environment", "release", "standing", "began", "how_shown")
    list_select_related = ("application", "environment", "release__application")
    list_filter = ("environment", "application")
    lookups = frozenset({"environment__id__exact", "application__id__exact"})
    hint = _("Moved when a run is verified, taken back or settled, and when what runs on a target is adopted.")

    @column(_("known"))
    def standing(self, row: InForce) -> str:
        """Return whether it is known what runs."""
        return gettext("unknown") if row.unknown else gettext("known")

    @column(_("since"), "since")
    def began(self, row: InForce) -> str:
        """Return since when."""
        return stamp(row.since, row.environment.zone)

    @column(_("how"))
    def how_shown(self, row: InForce) -> str:
        """Return how it came to be."""
        words = {
            "verified": gettext("verified"),
            "restored": gettext("restored"),
            "settled": gettext("settled"),
            "adopted": gettext("adopted"),
            "proposed": gettext("adoption proposed"),
        }
        return words.get(row.how, row.how)


REGISTERED_BESIDE = (StopSwitchAdmin, ledger_lists, messages_lists)
admin.site.register(Procedure, ProcedureAdmin)
