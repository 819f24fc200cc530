"""Grants in readable form: who holds, will hold, requested or held a role. The pages about access call it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from environments.models import AccessGrant


@dataclass(frozen=True)
class Standing:
    """Status of a grant: its key (now, future, pending, ended, revoked), in words, and the tone of its chip."""

    key: str
    words: str
    tone: str


def standing(grant: AccessGrant, moment: datetime) -> Standing:
    """Return the status of a grant at a moment."""
    if grant.revoked_at is not None:
        return Standing("revoked", _("revoked early"), "calm")
    if grant.until is not None and grant.until <= moment:
        return Standing("ended", _("ended"), "calm")
    if grant.confirmed_at is None:
        return Standing("pending", _("waits for a second person"), "warn")
    if grant.starts_at > moment:
        return Standing("future", _("begins later"), "going")
    return Standing("now", _("valid now"), "good")


def by_standing(grants: Iterable[AccessGrant], moment: datetime) -> dict[str, list[tuple[AccessGrant, Standing]]]:
    """Return grants by their status."""
    found: dict[str, list[tuple[AccessGrant, Standing]]] = {}
    for grant in grants:
        where = standing(grant, moment)
        found.setdefault(where.key, []).append((grant, where))
    return found
