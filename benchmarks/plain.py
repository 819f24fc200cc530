"""The plain Django admin on the product's tables, to compare with: its own templates, `ModelAdmin` as it comes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import django.contrib.admin as contrib
from django.contrib import admin
from django.urls import include, path

from releases.models import Deployment, Release

TEMPLATES = Path(contrib.__file__).parent / "templates"


class PlainSite(admin.AdminSite):
    """A site that every signed-in account may read."""

    def has_permission(self, request: Any) -> bool:
        """Everybody may."""
        return True


class Plain(admin.ModelAdmin):  # type: ignore[type-arg]
    """A list that every account with permission may read."""

    list_per_page = 50

    def has_view_permission(self, request: Any, obj: Any = None) -> bool:
        """Everybody may."""
        return True


class PlainRelease(Plain):
    """The columns of ours."""

    list_display = ("__str__", "number", "kind", "state", "title", "author", "scheduled_start_at")
    list_select_related = ("application", "author")
    list_filter = ("state", "kind", "application")
    search_fields = ("version", "number", "title", "commit")


class PlainDeployment(Plain):
    """The columns of ours."""

    list_display = ("__str__", "state", "scheduled_start_at", "scheduled_by", "verified_by")
    list_select_related = ("release__application", "environment", "scheduled_by", "verified_by")
    list_filter = ("state", "environment", "application")


plain = PlainSite("plain")
plain.register(Release, PlainRelease)
plain.register(Deployment, PlainDeployment)
urlpatterns = [path("plain/", plain.urls), path("", include("config.urls"))]
__all__ = ["TEMPLATES", "plain", "urlpatterns"]
