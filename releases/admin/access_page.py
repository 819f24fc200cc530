"""The access matrix as a grid: role × environment, and who holds each role now."""

from __future__ import annotations

from collections.abc import Iterable

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from environments.admin.rights import page
from environments.models import AccessGrant, AccessRule, Environment
from environments.roles import LEVEL_CHOICES, LEVELS, ROLE_CHOICES, ROLE_VERBS
from releases.admin.shown import show


def right_words() -> dict[str, str]:
    """Return each right in the reader's words, in the order in which a release needs them."""
    return {
        "view": _("View"),
        "look": _("View"),
        "log": _("Log"),
        "audit": _("Audit"),
        "plan": _("Plan a release"),
        "prepare": _("Prepare a release"),
        "change": _("Changes"),
        "evidence": _("Hand in evidence"),
        "checklist": _("Checklist"),
        "document": _("Documents"),
        "check_document": _("Check the document"),
        "approve_document": _("Approve the document"),
        "roster": _("Put on the roster"),
        "configuration": _("Configurations"),
        "configure": _("Configurations"),
        "configure_target": _("Targets"),
        "propose_window": _("Propose an extra window"),
        "propose_waiver": _("Propose a waiver"),
        "waive": _("Agree to a waiver"),
        "propose_procedure": _("New version of the procedure"),
        "consent": _("Consent"),
        "approve": _("Approve"),
        "send_back": _("Send back"),
        "reject": _("Reject"),
        "final_check": _("Sign the final check"),
        "request": _("Request a run"),
        "schedule": _("Schedule"),
        "start": _("Start a run"),
        "stop": _("Stop"),
        "cancel": _("Cancel"),
        "decide": _("Decide how the run goes on"),
        "verify": _("Verify"),
        "raise": _("Raise a rollback"),
        "assess": _("Assess the rollback"),
        "authorise_rollback": _("Authorise the rollback"),
        "roll_back": _("Way back"),
        "dismiss": _("Dismiss"),
        "settle": _("Settle"),
        "settle_obligation": _("Settle what is owed"),
        "adopt": _("Adopt what runs here"),
        "grant": _("Grants"),
        "account": _("Accounts"),
    }


def in_words(rights: Iterable[str], words: dict[str, str]) -> list[str]:
    """Return rights in words, in the order of `words`; those without words at the end, as they are."""
    order = {key: place for place, key in enumerate(words)}
    known = sorted(rights, key=lambda key: (order.get(key, len(order)), key))
    return list(dict.fromkeys(words.get(key, key) for key in known))


@page
def access(request: HttpRequest) -> HttpResponse:
    """Show the matrix."""
    environments = list(Environment.objects.all())
    names, words = dict(LEVEL_CHOICES), right_words()
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
                "cells": [(level, names[level], in_words(LEVELS[level], words)) for level in cells],
                "verbs": in_words(ROLE_VERBS[role], words),
                "holders": holders.get(role, []),
            }
        )
    return show(request, "ringi/access.html", _("Access matrix"), environments=environments, rows=rows)
