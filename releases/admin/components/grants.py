"""Grants as people read them: who holds, will hold, waits for or held a role. The pages about access call it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from environments.models import AccessGrant


@dataclass(frozen=True)
class Standing:
    """Where a grant stands: its key (now, future, waits, ended, withdrawn), in words, and the tone of its chip."""

    key: str
    words: str
    tone: str


def standing(grant: AccessGrant, moment: datetime) -> Standing:
    """Return where a grant stands at a moment."""
    if grant.revoked_at is not None:
        return Standing("revoked", _("revoked early"), "calm")
    if grant.until is not None and grant.until <= moment:
        return Standing("ended", _("ended"), "calm")
    if grant.confirmed_at is None:
        return Standing("waits", _("waits for a second person"), "warn")
    if grant.starts_at > moment:
        return Standing("future", _("begins later"), "going")
    return Standing("now", _("valid now"), "good")


def by_standing(grants: Iterable[AccessGrant], moment: datetime) -> dict[str, list[tuple[AccessGrant, Standing]]]:
    """Return grants under where they stand."""
    found: dict[str, list[tuple[AccessGrant, Standing]]] = {}
    for grant in grants:
        where = standing(grant, moment)
        found.setdefault(where.key, []).append((grant, where))
    return found
