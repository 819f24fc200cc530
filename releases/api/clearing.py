"""What would clear a gate that is closed, a sentence a kind."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _, gettext_lazy

from releases.gates.base import Answer
from releases.models import Release

CLEARS: Mapping[str, Any] = {
    "evidence": gettext_lazy("Hand in the evidence for commit %(commit)s: %(place)s."),
    "consent": gettext_lazy("The release committee consents on the release page; a person applies for it first."),
    "window": gettext_lazy("Wait for the window, choose another date, or apply for an extra window."),
    "freeze": gettext_lazy("Wait until the freeze ends, or have it lifted."),
    "rehearsal": gettext_lazy("Go forward and back with the same plan in an earlier environment."),
    "promotion": gettext_lazy("Run the same content in the earlier environment and wait until it is verified."),
    "checklist": gettext_lazy("People sign the open points of the checklist."),
    "milestone": gettext_lazy("Do what the open milestones wait for."),
    "tag": gettext_lazy("Make the annotated, signed tag in the repository, or have the source looked at again."),
    "branch": gettext_lazy("Bring the commit to an accepted branch, or have the source looked at again."),
    "protection": gettext_lazy("Hand in the evidence that the branch asks for, and sign the commit or its tag."),
    "roster": gettext_lazy("The release manager fills the roster."),
    "document": gettext_lazy("The documents are written, checked, approved and made ready."),
    "obligation": gettext_lazy("Settle what an earlier emergency left to be done."),
    "ledger": gettext_lazy(
        "An administrator mends the ledger or its signer; auditors see what the verification found."
    ),
    "stop_switch": gettext_lazy("Somebody applies for the release of the stop switch, and the committee consents."),
}


def clears(answer: Answer, release: Release) -> str:
    """Return what would clear a gate's answer."""
    text = CLEARS.get(answer.kind)
    if text is None:
        return _("See the release page.")
    return str(text) % {"commit": release.commit[:12] or "…", "place": "POST /api/v1/evidence"}
