"""How to clear a gate that is not passed: one sentence per type."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _, gettext_lazy

from releases.gates.base import Answer
from releases.models import Release

CLEARS: Mapping[str, Any] = {
    "evidence": gettext_lazy("Upload the evidence for commit %(commit)s: %(place)s."),
    "approval": gettext_lazy(
        "A person submits the release for approval first. The release committee then approves it on the release page."
    ),
    "change_window": gettext_lazy("Wait for the change window, choose another date, or request an extra window."),
    "change_freeze": gettext_lazy("Wait until the change freeze ends, or ask for it to be lifted."),
    "rollback_rehearsal": gettext_lazy("Run a rollback rehearsal with the same plan in an earlier environment."),
    "promotion": gettext_lazy(
        "Deploy the same content to the earlier environment and wait until the deployment is verified."
    ),
    "checklist": gettext_lazy("People sign the open items of the checklist."),
    "milestone": gettext_lazy("Complete the work that the open milestones require."),
    "tag": gettext_lazy("Create the annotated, signed tag in the repository, or refresh from Git."),
    "branch": gettext_lazy("Merge the commit into an accepted branch, or refresh from Git."),
    "branch_protection": gettext_lazy("Upload the evidence that the branch requires, and sign the commit or its tag."),
    "release_team": gettext_lazy("The release manager enters the release team."),
    "document": gettext_lazy("Write, check and approve the documents, and prepare their publication."),
    "follow_up": gettext_lazy("Complete the follow-up actions of the earlier emergency release."),
    "ledger": gettext_lazy(
        "An administrator repairs the ledger or the ledger signer. Auditors see the findings of the verification."
    ),
    "emergency_stop": gettext_lazy(
        "Request the lift of the emergency stop. The release committee must approve the request."
    ),
}


def clears(answer: Answer, release: Release) -> str:
    """Return what would clear a gate that is not passed."""
    text = CLEARS.get(answer.kind)
    if text is None:
        return _("See the release page.")
    return str(text) % {"commit": release.commit[:12] or "…", "place": "POST /api/v1/evidence"}
