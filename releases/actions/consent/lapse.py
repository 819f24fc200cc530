"""release:lapse: end rounds of consent whose content or window is no longer what was consented to."""

from __future__ import annotations

from audit.change import change
from audit.clock import now
from releases.actions.consent.end import end_rounds
from releases.gates.content import difference, document
from releases.models import ConsentRound, Release


def lapse_stale() -> list[int]:
    """End live rounds whose content has changed or whose window has passed; return the releases (the sweeper's act)."""
    lapsed = []
    for round_ in ConsentRound.objects.filter(state__in=["open", "granted"], release__isnull=False):
        release, environment = round_.release, round_.environment
        if release is None or environment is None:
            continue
        present = document(release, environment)
        expired = round_.window_end is not None and now() >= round_.window_end
        key = "window" if expired else difference(round_.document, present)
        if not key:
            continue
        with change("release:lapse", (Release, release.pk), reason=key) as act:
            held = act.get(Release)
            end_rounds(held, "expired" if expired else "void", key)
            if held.state in ("in_review", "approved", "confirmed"):
                held.lapse()
            act.details["key"] = key
        lapsed.append(release.pk)
    return lapsed
