"""The access matrix as a grid, role × environment; grants, access requests, reviews and delegations."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from audit.clock import now
from environments.admin.rights import Rights, page, rights_of
from environments.models import (
    AccessGrant,
    AccessRequest,
    AccessReview,
    AccessReviewItem,
    AccessRule,
    Delegation,
    Environment,
)
from environments.models.role import roles
from environments.roles import LEVEL_CHOICES, LEVELS, PERMISSION_LABELS
from releases.admin.components.formatting import Button, button, show
from releases.admin.components.grants import by_standing, standing
from releases.admin.operations import VERBS


def right_words() -> dict[str, str]:
    """Return each right in the reader's language, in the order in which a release needs them."""
    return {key: str(words) for key, words in PERMISSION_LABELS.items()}


def in_words(rights: Iterable[str], words: dict[str, str]) -> list[str]:
    """Return rights in words, in the order of `words`; those without words come last, as they are."""
    order = {key: place for place, key in enumerate(words)}
    known = sorted(rights, key=lambda key: (order.get(key, len(order)), key))
    return list(dict.fromkeys(words.get(key, key) for key in known))


# The range of a level, as the tone of its cell.
LEVEL_TONES = {
    "full": "going",
    "operate": "going",
    "limited": "good",
    "ci_automatic": "going",
    "ci_after_approval": "warn",
}
ENDED_SHOWN, VALID_SHOWN = 50, 50


def matrix(words: dict[str, str]) -> tuple[list[Environment], list[dict[str, Any]]]:
    """Return the environments and, for each role, its cells (level, name, permissions), verbs and how it is given."""
    environments = list(Environment.objects.all())
    names = dict(LEVEL_CHOICES)
    levels = {(rule.role_id, rule.environment_id): rule.level for rule in AccessRule.objects.all()}
    rows = []
    for key, role in roles().items():
        if role.state != role.State.IN_USE:
            continue
        cells = [levels.get((key, e.pk), "none") for e in environments]
        rows.append(
            {
                "label": str(role),
                "cells": [
                    (level, names[level], in_words(LEVELS[level], words), LEVEL_TONES.get(level, "")) for level in cells
                ],
                "verbs": in_words(role.permissions, words),
                "two": role.decides,
            }
        )
    return environments, rows


@page
def access(request: HttpRequest) -> HttpResponse:
    """Show the matrix, grants, access requests, reviews and delegations."""
    rights, moment, words = rights_of(request), now(), right_words()
    environments, rows = matrix(words)
    related = ("account", "role", "environment", "application", "granted_by", "confirmed_by")
    ordered = AccessGrant.objects.select_related(*related).order_by("account__display_name", "role", "pk")
    lasting = ordered.filter(pk__in=AccessGrant.objects.lasting().values("pk"))
    valid = lasting.filter(confirmed_at__isnull=False, starts_at__lte=moment)
    coming = by_standing(lasting.filter(Q(confirmed_at=None) | Q(starts_at__gt=moment)), moment)
    ended = list(ordered.exclude(pk__in=AccessGrant.objects.lasting().values("pk")).order_by("-pk")[:ENDED_SHOWN])
    named = dict(LEVEL_CHOICES)
    return show(
        request,
        "pages/access/access.html",
        _("Access matrix"),
        environments=environments,
        rows=rows,
        legend=[
            (named[key], in_words(can, words), LEVEL_TONES.get(key, "")) for key, can in LEVELS.items() if key != "none"
        ],
        holders=[
            (_("Awaiting a second person"), coming.get("pending", []), len(coming.get("pending", []))),
            (_("Valid now"), [(grant, standing(grant, moment)) for grant in valid[:VALID_SHOWN]], valid.count()),
            (_("Starting later"), coming.get("future", []), len(coming.get("future", []))),
        ],
        ended=[(grant, standing(grant, moment)) for grant in ended],
        requests=AccessRequest.objects.filter(decided_at=None).select_related(
            "account", "role", "environment", "application"
        ),
        reviews=reviews(moment),
        delegates=Delegation.objects.filter(revoked_at=None, until__gt=moment).select_related(
            "delegator", "delegate", "requested_by", "confirmed_by"
        ),
        ask=_personal(rights),
        give=[button(verb, None) for verb in VERBS if verb.key == "access_review:open" and rights.may("manage_access")],
        moment=moment,
    )


def reviews(moment: datetime) -> list[tuple[AccessReview, int, int, bool]]:
    """Return the last reviews, each with its grants, the undecided ones, and whether it is overdue."""
    rows = AccessReview.objects.select_related("opened_by").annotate(
        of=Count("items"), left=Count("items", filter=Q(items__in=AccessReviewItem.objects.undecided()))
    )
    return [(row, row.of, row.left, row.closed_at is None and row.due_at < moment) for row in rows[:10]]


def _personal(rights: Rights) -> list[Button]:
    """Return the verbs that any person uses on their own account; auditors get none."""
    if rights.account is None or not rights.may("read") or rights.audits_only:
        return []
    return [button(verb, None) for verb in VERBS if verb.key in ("access:request", "delegation:request")]
