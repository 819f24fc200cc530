"""The access matrix as a grid: role × environment, and who holds each role now."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from environments.admin.rights import page
from environments.models import AccessGrant, AccessRule, Environment
from environments.roles import LEVEL_CHOICES, LEVELS, ROLE_CHOICES, ROLE_VERBS
from releases.admin.shown import show


@page
def access(request: HttpRequest) -> HttpResponse:
    """Show the matrix."""
    environments = list(Environment.objects.all())
    names = dict(LEVEL_CHOICES)
    levels = {(rule.role, rule.environment_id): rule.level for rule in AccessRule.objects.all()}
    holders: dict[str, list[AccessGrant]] = {}
    for grant in (
        AccessGrant.objects.in_force().select_related("account", "environment").order_by("account__display_name")
    ):
        holders.setdefault(grant.role, []).append(grant)
    rows = []
    for role, label in ROLE_CHOICES:
        cells = [levels.get((role, e.pk), "none") for e in environments]
        rows.append(
            {
                "label": label,
                "cells": [(level, names[level], sorted(LEVELS[level])) for level in cells],
                "verbs": sorted(ROLE_VERBS[role]),
                "holders": holders.get(role, []),
            }
        )
    return show(request, "ringi/access.html", _("Access matrix"), environments=environments, rows=rows)
