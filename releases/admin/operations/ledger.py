"""Verbs on the ledger: ledger resumption after a restore, and the destinations of checkpoints."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.html import format_html
from django.utils.translation import gettext as _now, gettext_lazy as _, pgettext

from audit.actor import name_of
from audit.models import CheckpointDelivery, LedgerResumption
from environments.operations.checkpoint import add_address
from environments.operations.ledger import resume
from releases.admin.operations.base import Verb, must, reason, text

Fields = Mapping[str, forms.Field]
ADMIN = ("manage_accounts",)


def _why(instance: Any) -> Fields:
    return {"reason": text(_("restored data and reason"), rows=3)}


def _address(instance: Any) -> Fields:
    return {
        "kind": forms.ChoiceField(label=_("type"), choices=CheckpointDelivery.Kind.choices),
        "address": text(_("destination")),
        "given_by": text(_("given by (auditor)")),
        "reason": text(_("reason")),
    }


def _finding(of: LedgerResumption) -> list[tuple[str, str]]:
    return [
        (_now("finding"), format_html('<span lang="en">{}</span>', of.finding)),
        (_now("events signed before"), str(of.size)),
        (_now("digest of the lost note"), of.digest),
        (_now("reason"), of.reason),
        (pgettext("ledger resumption", "requested by"), name_of(of.requested_by)),
    ]


VERBS: tuple[Verb, ...] = (
    Verb("ledger", "request_resumption", _("Request ledger resumption"), resume.request_resumption, ADMIN, fields=_why, signs=True,
         danger=True, makes=LedgerResumption),
    Verb("ledger", "confirm_resumption", _("Confirm ledger resumption"), resume.confirm, ("approve_change",), LedgerResumption, reason,
         signs=True, danger=True, shows=_finding, over=resume.over),
    Verb("checkpoint", "add_address", _("Add checkpoint address"), add_address.add_address, ADMIN, fields=_address,
         signs=True, makes=CheckpointDelivery),
    Verb("checkpoint", "remove_address", _("Remove checkpoint address"), add_address.remove_address, ADMIN, CheckpointDelivery,
         must, signs=True, danger=True, over=add_address.over),
)  # fmt: skip
