"""Verbs on what a sign-in gives and asks: roles of groups at the identity provider, two-factor authentication."""

from __future__ import annotations

from functools import partial
from typing import Any

from django import forms
from django.utils.translation import gettext as _now, gettext_lazy as _

from environments.models import Account, Application, Environment, GroupRole
from environments.operations.account import provision
from environments.operations.environment import require_two_factor
from environments.operations.group_role import decide as groups
from releases.admin.operations.access import ADMIN, GIVE, Fields, group_fields, role_field
from releases.admin.operations.base import Verb
from releases.admin.operations.fields import length, row, text


def _group_role(instance: Any) -> Fields:
    return {
        "group": text(_("group at the identity provider"), most=length(GroupRole, "group")),
        "role": role_field(lambda role: role.may_be_granted and not role.is_service),
        "environment_id": row(_("environment (none: all)"), Environment, required=False),
        "application_id": row(_("application (none: all)"), Application, required=False),
        **group_fields(),
        "reason": text(_("reason")),
    }


def _of_group(of: GroupRole) -> list[tuple[str, str]]:
    return [
        (_now("group at the identity provider"), of.group),
        (_now("role"), str(of.role)),
        (_now("environment"), str(of.environment or _now("all"))),
        (_now("application"), str(of.application or of.application_group or _now("all"))),
        (_now("requested by"), str(of.requested_by)),
        (_now("reason"), of.reason),
    ]


def _factor(instance: Any) -> Fields:
    return {
        "demanded": forms.TypedChoiceField(
            label=_("each signature for this environment"),
            choices=[("yes", _("needs two-factor authentication")), ("no", _("needs the password only"))],
            initial="no" if getattr(instance, "requires_two_factor", False) else "yes",
            coerce=lambda value: value == "yes",
        ),
        "reason": text(_("reason")),
    }


def _hand_over(instance: Any) -> Fields:
    known = text(_("external ID"), most=length(Account, "external_id"), required=False)
    known.help_text = _("As the identity provider sends it in externalId. Empty: it finds the account by its name.")
    return {"external_id": known, "reason": text(_("reason"))}


on_group_role = partial(Verb, "group_role", rights=GIVE, signs=True)
VERBS: tuple[Verb, ...] = (
    on_group_role(
        "request", _("Request role of group"), groups.request_group_role, fields=_group_role, makes=GroupRole
    ),
    on_group_role("confirm", _("Confirm role of group"), groups.confirm_group_role, model=GroupRole, shows=_of_group),
    on_group_role("end", _("End role of group"), groups.end_group_role, model=GroupRole, danger=True, shows=_of_group),
    Verb(
        "account",
        "hand_over",
        _("Hand over to identity provider"),
        provision.hand_over,
        ADMIN,
        Account,
        fields=_hand_over,
        signs=True,
    ),
    Verb(
        "environment",
        "require_two_factor",
        _("Set two-factor requirement"),
        require_two_factor.require_two_factor,
        GIVE,
        Environment,
        fields=_factor,
        signs=True,
    ),
)
