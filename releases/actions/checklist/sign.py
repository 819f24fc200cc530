"""checklist:sign: one item, by a person, with evidence (P4)."""

from __future__ import annotations

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import Invalid, WrongState
from environments import access
from releases.models import ChecklistItem, Release


def sign(item_id: int, *, evidence: str) -> ChecklistItem:
    """Sign an item; what it was looked at against must be named."""
    with change("checklist:sign", (ChecklistItem, item_id), reason=evidence, sign=True) as act:
        account = access.require("checklist")
        item = act.get(ChecklistItem)
        if item.release.state not in Release.FIXED:
            raise WrongState(_("Only while the content is fixed."))
        if item.signed_at is not None:
            raise WrongState(_("It is signed already."))
        if not evidence.strip():
            raise Invalid(_("Name what you have looked at."))
        item.signed_by, item.signed_at, item.evidence = account, now(), evidence
        act.signature("checklist")
    return item
