"""How to clear a gate that is not passed: one sentence per type."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _, gettext_lazy

from releases.gates.base import Answer
from releases.gates.evaluation import GATES
from releases.models import Release

CLEARS: Mapping[str, Any] = {
    **{gate.name: gate.clears for gate in GATES},
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
