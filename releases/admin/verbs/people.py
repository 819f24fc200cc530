"""Verbs about accounts, grants, applications, targets, configurations and windows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from environments.actions.access import grant
from environments.actions.account import create as accounts
from environments.actions.configuration import create as configurations
from environments.actions.target import create as targets
from environments.actions.window import freeze as freezes
from environments.models import (
    AccessGrant,
    Account,
    Application,
    ConfigurationVersion,
    Environment,
    Target,
)
from environments.roles import ROLE_CHOICES
from releases import checks, steps
from releases.actions.in_force import adopt
from releases.actions.obligation import settle
from releases.actions.procedure import activate
from releases.actions.window import propose
from releases.admin.verbs.base import LinesField, PairsField, Verb, ZonedDateTimeField, row, text
from releases.models import InForce, Obligation, Procedure
from releases.procedures.document import Procedure as Content
from releases.procedures.document import ProcedureFaults

Fields = Mapping[str, forms.Field]


def _account(instance: Any) -> Fields:
    return {
        "username": text(_("sign-in name")),
        "display_name": text(_("name as written")),
        "kind": forms.ChoiceField(label=_("kind"), choices=Account.Kind.choices),
        "password": forms.CharField(label=_("first password"), required=False, widget=forms.PasswordInput()),
        "affiliation": text(_("affiliation"), required=False),
        "job_title": text(_("job title"), required=False),
        "employee_id": text(_("employee id"), required=False),
        "telephone": text(_("telephone"), required=False),
        "git_addresses": LinesField(label=_("git addresses"), required=False),
        "language": forms.ChoiceField(label=_("language"), choices=[("ja", "日本語"), ("en", "English")]),
    }


def _token(instance: Any) -> Fields:
    return {
        "environments": forms.ModelMultipleChoiceField(
            label=_("environments"), queryset=Environment.objects.all(), required=False
        ),
        "days": forms.IntegerField(label=_("valid for days"), min_value=1, max_value=365, initial=90),
        "reason": text(_("reason"), required=False),
    }


def _issue(pk: int, *, environments: Any, days: int, reason: str) -> Any:
    token, secret = accounts.issue_token(pk, environments=tuple(e.pk for e in environments), days=days, reason=reason)
    token.secret = secret  # type: ignore[attr-defined]  # shown this once by the page
    return token


def _grant(instance: Any) -> Fields:
    return {
        "role": forms.ChoiceField(label=_("role"), choices=ROLE_CHOICES),
        "environment_id": row(_("environment (none: all)"), Environment, required=False),
        "until": ZonedDateTimeField(label=_("until"), required=False),
        "reason": text(_("reason")),
    }


def _application(instance: Any) -> Fields:
    return {
        "slug": forms.SlugField(label=_("key")),
        "name": text(_("name")),
        "repository": text(_("repository")),
        "signers": text(_("allowed signers"), required=False, rows=4),
        "tag_format": text(_("tag format"), initial="v{version}"),
    }


def _target(instance: Any) -> Fields:
    return {
        "application_id": row(_("application"), Application),
        "environment_id": row(_("environment"), Environment),
        "root": text(_("folder")),
        "settings": forms.JSONField(label=_("settings"), widget=forms.Textarea(attrs={"rows": 10})),
    }


def _configuration(instance: Any) -> Fields:
    return {
        "application_id": row(_("application"), Application),
        "environment_id": row(_("environment"), Environment),
        "values": PairsField(label=_("values"), required=False),
        "secrets": PairsField(label=_("secrets (empty keeps the earlier value)"), required=False),
        "reason": text(_("reason")),
    }


def _freeze(instance: Any) -> Fields:
    return {
        "name": text(_("name")),
        "starts_at": ZonedDateTimeField(label=_("begins")),
        "ends_at": ZonedDateTimeField(label=_("ends")),
        "absolute": forms.BooleanField(label=_("absolute (holds for emergencies too)"), required=False),
        "reason": text(_("reason")),
    }


def _window(instance: Any) -> Fields:
    return {
        "application_id": row(_("application"), Application),
        "name": text(_("name")),
        "starts_at": ZonedDateTimeField(label=_("opens")),
        "ends_at": ZonedDateTimeField(label=_("closes")),
        "reason": text(_("reason")),
    }


def _adoption(instance: Any) -> Fields:
    return {
        "version": text(_("version")),
        "configuration_id": row(_("configuration"), ConfigurationVersion),
        "reason": text(_("reason")),
    }


def _procedure(instance: Any) -> Fields:
    return {
        "content": text(_("procedure (TOML)"), rows=30),
        "reason": text(_("reason")),
    }


def _load(*, content: str, reason: str) -> Procedure:
    try:
        return activate.load(
            Content.from_toml(content, step_kinds=steps.names(), check_kinds=checks.names()), reason=reason
        )
    except ProcedureFaults as faults:
        raise forms.ValidationError([str(fault) for fault in faults.faults]) from faults


def _reason(instance: Any) -> Fields:
    return {"reason": text(_("reason"), required=False)}


def _must(instance: Any) -> Fields:
    return {"reason": text(_("reason"))}


def _note(instance: Any) -> Fields:
    return {"note": text(_("how it was settled"))}


VERBS: tuple[Verb, ...] = (
    Verb("account", "create", _("New account"), accounts.create, ("account",), fields=_account),
    Verb("token", "issue", _("Issue a token"), _issue, ("account",), Account, _token, signs=True),
    Verb("access", "propose", _("Give a role"), grant.propose, ("grant",), Account, _grant, signs=True),
    Verb("access", "confirm", _("Confirm"), grant.confirm, ("grant",), AccessGrant, _reason, signs=True),
    Verb(
        "access",
        "withdraw",
        _("End"),
        grant.withdraw,
        ("grant",),
        AccessGrant,
        _must,
        signs=True,
        danger=True,
    ),
    Verb(
        "application",
        "create",
        _("New application"),
        targets.create_application,
        ("plan",),
        fields=_application,
        signs=True,
    ),
    Verb(
        "target",
        "create",
        _("New target"),
        targets.create_target,
        ("configure_target",),
        fields=_target,
        signs=True,
    ),
    Verb(
        "configuration",
        "create",
        _("New configuration"),
        configurations.create,
        ("configure_target", "configure", "configuration"),
        fields=_configuration,
    ),
    Verb("window", "freeze", _("Freeze"), freezes.freeze, ("plan",), Environment, _freeze, signs=True),
    Verb(
        "window",
        "propose",
        _("Propose an extra window"),
        propose.propose,
        ("propose_window",),
        Environment,
        _window,
    ),
    Verb(
        "in_force",
        "propose",
        _("Adopt what runs here"),
        adopt.propose,
        ("adopt",),
        Target,
        _adoption,
        signs=True,
    ),
    Verb("in_force", "adopt", _("Confirm the adoption"), adopt.adopt, ("adopt",), InForce, _reason, signs=True),
    Verb(
        "obligation",
        "settle",
        _("Settle"),
        settle.settle,
        ("settle_obligation",),
        Obligation,
        _note,
        signs=True,
    ),
    Verb(
        "procedure",
        "load",
        _("New version of the procedure"),
        _load,
        ("propose_procedure",),
        fields=_procedure,
    ),
    Verb(
        "procedure",
        "submit",
        _("Apply for activation"),
        activate.submit,
        ("propose_procedure",),
        Procedure,
        _must,
        edge="submit",
    ),
)
