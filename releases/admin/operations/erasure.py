"""Verbs on the personal data of a person: request, confirm and reject their erasure."""

from functools import partial
from typing import Any

from django.utils.translation import gettext_lazy as _

from environments.models import Account
from releases.admin.operations.base import Verb
from releases.models import Erasure, GroupRecipient
from releases.operations.erasure import erase
from releases.queries.personal_data import figures


def _erased(row: Account | GroupRecipient, values: dict[str, Any]) -> list[tuple[str, str]]:
    return figures(row)


def _requested(row: Account | GroupRecipient) -> list[tuple[str, str]]:
    asked = Erasure.open_of(row)
    return [(str(_("requested by")), str(asked.requested_by)), (str(_("reason")), asked.reason)] if asked else []


on_erasure = partial(Verb, "erasure", rights=("manage_accounts",), model=Account, danger=True)
on_recipient_erasure = partial(Verb, "erasure", rights=("manage_accounts",), model=GroupRecipient, danger=True)
_signed = partial(on_erasure, preview=_erased, signs=True)
_signed_for_recipient = partial(on_recipient_erasure, preview=_erased, signs=True)
VERBS: tuple[Verb, ...] = (
    _signed("request", _("Request erasure"), erase.request_erasure, over=erase.over_request),
    _signed("confirm", _("Confirm erasure"), erase.confirm_erasure, over=erase.over_decision, shows=_requested),
    on_erasure("reject", _("Reject erasure"), erase.reject_erasure, over=erase.over_decision, shows=_requested),
    _signed_for_recipient(
        "request_recipient", _("Request erasure"), erase.request_recipient_erasure, over=erase.over_request
    ),
    _signed_for_recipient(
        "confirm_recipient",
        _("Confirm erasure"),
        erase.confirm_recipient_erasure,
        over=erase.over_decision,
        shows=_requested,
    ),
    on_recipient_erasure(
        "reject_recipient",
        _("Reject erasure"),
        erase.reject_recipient_erasure,
        over=erase.over_decision,
        shows=_requested,
    ),
)
