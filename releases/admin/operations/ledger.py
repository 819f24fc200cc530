"""Verbs on the ledger: ledger resumption after a restore, and the destinations of checkpoints."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from django import forms
from django.utils.html import format_html
from django.utils.translation import gettext as _now, gettext_lazy as _, pgettext

from audit.actor import name_of
from audit.models import CheckpointDelivery, LedgerResumption
from environments.operations.checkpoint import add_address
from environments.operations.ledger import resume
from releases.admin.operations.base import Verb
from releases.admin.operations.fields import text

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


on_ledger = partial(Verb, "ledger", signs=True, danger=True)
on_checkpoint = partial(Verb, "checkpoint", rights=ADMIN, signs=True)
VERBS: tuple[Verb, ...] = (
    on_ledger(
        "request_resumption",
        _("Request ledger resumption"),
        resume.request_resumption,
        ADMIN,
        fields=_why,
        makes=LedgerResumption,
    ),
    on_ledger(
        "confirm_resumption",
        _("Confirm ledger resumption"),
        resume.confirm,
        ("approve_change",),
        model=LedgerResumption,
        shows=_finding,
        over=resume.over,
    ),
    on_checkpoint(
        "add_address", _("Add checkpoint address"), add_address.add_address, fields=_address, makes=CheckpointDelivery
    ),
    on_checkpoint(
        "remove_address",
        _("Remove checkpoint address"),
        add_address.remove_address,
        model=CheckpointDelivery,
        danger=True,
        over=add_address.over,
    ),
)
