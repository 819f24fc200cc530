"""checkpoint:add_address, checkpoint:remove_address: where signed checkpoints are sent, as an auditor asked."""

from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext as _

from audit.clock import now
from audit.models import CheckpointDelivery
from audit.operation import operation
from audit.refusals import InvalidInput, NotPossible
from environments import access

Kind = CheckpointDelivery.Kind


def add_address(*, kind: str, address: str, given_by: str, reason: str) -> CheckpointDelivery:
    """Enter an address; `given_by`: the auditor who gave it. Raises NotPermitted, InvalidInput, NotPossible."""
    with operation("checkpoint:add_address", reason=reason, sign=True) as op:
        access.require("manage_accounts")
        address = address.strip()
        if not (given_by.strip() and reason.strip()):
            raise InvalidInput(_("Enter the auditor who provided the address, and a reason."))
        if kind not in Kind.values or not (_is_mail(address) if kind == Kind.MAIL else _is_http(address)):
            raise InvalidInput(_("This is not a valid mail or HTTP address for the selected type."))
        if CheckpointDelivery.objects.filter(address=address, removed_at=None).exists():
            raise NotPossible(_("Checkpoints are already sent to this address."))
        made = CheckpointDelivery.objects.create(
            kind=kind,
            address=address,
            given_by=given_by.strip(),
            reason=reason.strip(),
            entered_by=op.actor.label,
            entered_at=now(),
        )
        op.signature()
        op.about(made)
    return made


def remove_address(address_id: int, *, reason: str) -> CheckpointDelivery:
    """End an address; what was sent there stays there. Raises NotPermitted, InvalidInput, NotPossible."""
    with operation("checkpoint:remove_address", (CheckpointDelivery, address_id), reason=reason, sign=True) as op:
        access.require("manage_accounts")
        row = op.get(CheckpointDelivery)
        if row.removed_at is not None:
            raise NotPossible(over(row))
        op.require_reason()
        row.removed_at = now()
        op.signature()
    return row


def over(row: CheckpointDelivery) -> str:
    """Return why an address can't be ended any more; empty while it can."""
    return _("Checkpoints are no longer sent to this address.") if row.removed_at is not None else ""


def _is_mail(text: str) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    return True


def _is_http(text: str) -> bool:
    try:
        found = urlsplit(text)
        plain = found.scheme in ("http", "https") and bool(found.hostname) and found.port != 0
        # What is added to the address must stay its end, and a password has no place in a row that all auditors read.
        return plain and not {"?", "#", "@"} & set(text)
    except ValueError:
        return False
