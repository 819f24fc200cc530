"""checklist:sign: one checklist item, signed by a person, with evidence (P4)."""

from typing import Any

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.plain import is_blank
from audit.refusals import GateNotPassed, InvalidInput, NotPossible
from environments import access
from releases.gates.content import digest as digest_of_content
from releases.models import ChecklistItem, Release
from releases.operations.release.plan import EDITABLE, LOOKED_AT


def content_of(release: Release) -> dict[str, Any]:
    """Return the content that an item is checked against: editing it (release:edit) clears the signatures."""
    fields = {name: getattr(release, name) for name in EDITABLE if name in LOOKED_AT}
    changes = [[change.kind, change.text, change.ticket] for change in release.changes.all()]
    return {"version": release.version, **fields, "changes": changes, "configuration": release.configurations}


def digest_of(item: ChecklistItem) -> str:
    """Return the SHA-256 over the item and the content of its release."""
    return digest_of_content(
        {"item": [item.group, item.key, item.label_ja, item.label_en], "content": content_of(item.release)}
    )


def sign(item_id: int, *, digest: str, evidence: str) -> ChecklistItem:
    """Sign an item; the evidence is required. digest: of the content that the page showed."""
    with operation("checklist:sign", (ChecklistItem, item_id), reason=evidence, sign=True) as op:
        account = access.require("sign_checklist")
        item = op.get(ChecklistItem)
        if item.release.state not in Release.FIXED:
            raise NotPossible(_("A checklist item can be signed only while the scope is locked."))
        if item.signed_at is not None:
            raise NotPossible(_("This checklist item is already signed."))
        if is_blank(evidence):
            raise InvalidInput(_("Name what you have looked at."))
        if digest != digest_of(item):
            raise GateNotPassed(_("The content shown to you differs from the locked scope. Read it again."))
        item.signed_by, item.signed_at, item.evidence = account, now(), evidence
        op.signature(digest)
    return item
