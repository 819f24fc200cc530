"""recipient_group:create, recipient_group:edit, recipient_group:disable: groups of people who are notified."""

from datetime import time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.plain import is_blank
from audit.refusals import InvalidInput, NotPossible
from environments import access
from releases.models import RecipientGroup


def create(*, key: str, label_ja: str, label_en: str, side: str, reason: str = "") -> RecipientGroup:
    """Create a group beside those of the procedure. Raises InvalidInput."""
    with operation("recipient_group:create", reason=reason) as op:
        access.require("configure_notifications")
        if side not in RecipientGroup.Side.values:
            raise InvalidInput(_("A recipient group must be internal or external."))
        if RecipientGroup.objects.filter(key=key).exists():
            raise InvalidInput(_("A recipient group with this key exists already."))
        made = RecipientGroup.objects.create(key=key, side=side, **_labels(label_ja, label_en))
        op.about(made, side=side)
    return made


def edit(
    group_id: int, *, label_ja: str, label_en: str, quiet_from: time, quiet_until: time, zone: str, reason: str = ""
) -> RecipientGroup:
    """Change names and quiet hours. The side stays: an external group is never notified as an internal one."""
    with operation("recipient_group:edit", (RecipientGroup, group_id), reason=reason) as op:
        access.require("configure_notifications")
        row = op.get(RecipientGroup)
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise InvalidInput(_("The time zone is unknown. Enter a name such as Asia/Tokyo.")) from None
        row.quiet_from, row.quiet_until, row.zone = quiet_from, quiet_until, zone
        for name, text in _labels(label_ja, label_en).items():
            setattr(row, name, text)
    return row


def close(group_id: int, *, reason: str) -> RecipientGroup:
    """Disable a group: it gets no notifications any more. Raises NotPossible, InvalidInput."""
    with operation("recipient_group:disable", (RecipientGroup, group_id), reason=reason, sign=True) as op:
        access.require("configure_notifications")
        row = op.get(RecipientGroup)
        if row.closed_at is not None:
            raise NotPossible(_("The recipient group is closed already."))
        op.require_reason()
        row.closed_at = now()
    return row


def _labels(ja: str, en: str) -> dict[str, str]:
    if is_blank(ja) or is_blank(en):
        raise InvalidInput(_("Enter the name in both languages."))
    return {"label_ja": ja.strip(), "label_en": en.strip()}
