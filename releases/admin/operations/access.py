"""Verbs on accounts, tokens, grants, access requests, access reviews, delegations and two-factor authentication."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from django import forms
from django.utils.translation import gettext as _now, gettext_lazy as _

from audit.actor import MissingActor, current
from environments import access, times
from environments.admin.rights import read_rights
from environments.models import (
    AccessGrant,
    AccessRequest,
    AccessReview,
    AccessReviewItem,
    Account,
    Application,
    Delegation,
    Environment,
    Token,
)
from environments.models.role import Role, roles
from environments.operations.access import grant, request
from environments.operations.access_review import review
from environments.operations.account import (
    create as accounts,
    deactivate as closing,
    edit as editing,
    invite as invitations,
)
from environments.operations.delegation import request as delegates
from environments.operations.token import issue as tokens
from environments.roles import ASKED_FOR
from releases.admin.components import staffing_preview as preview
from releases.admin.operations.base import Verb
from releases.admin.operations.fields import LinesField, ZonedDateTimeField, clock, length, must, row, text

Fields = Mapping[str, forms.Field]
LANGUAGES = [("ja", "日本語"), ("en", "English")]


def people(label: Any, initial: Any = None) -> forms.ModelChoiceField[Account]:
    """Return a choice of one person with an active account."""
    open_accounts = Account.objects.filter(kind=Account.Kind.PERSON, is_active=True).order_by("display_name")
    return forms.ModelChoiceField(label=label, queryset=open_accounts, initial=initial)


def _myself() -> Account | None:
    try:
        own = current().account_id
    except MissingActor:
        return None
    return Account.objects.filter(pk=own).first() if own is not None else None


def _profile(of: Account | None) -> dict[str, forms.Field]:
    names = ("display_name", "affiliation", "job_title", "employee_id", "telephone")
    fields: dict[str, forms.Field] = {
        name: text(
            getattr(Account._meta.get_field(name), "verbose_name", name),
            required=name == "display_name",
            initial=getattr(of, name, ""),
            most=length(Account, name),
        )
        for name in names
    }
    addresses = "\n".join(of.git_addresses) if of else ""
    return fields | {
        "email": forms.EmailField(label=_("mail address"), required=False, initial=of.email if of else ""),
        "git_addresses": LinesField(label=_("git addresses"), required=False, initial=addresses),
        "language": forms.ChoiceField(
            label=_("language"), choices=LANGUAGES, initial=of.language if of else LANGUAGES[0][0]
        ),
    }


def _account(instance: Any) -> Fields:
    return {
        "username": text(_("sign-in name"), most=length(Account, "username")),
        "kind": forms.ChoiceField(label=_("type"), choices=Account.Kind.choices),
        **_profile(None),
        "roles": forms.MultipleChoiceField(
            label=_("roles in all environments"),
            choices=[(key, str(role)) for key, role in roles().items() if role.may_be_granted],
            widget=forms.CheckboxSelectMultiple,
            required=False,
        ),
        "invite": forms.BooleanField(label=_("show an invitation link for the person"), required=False),
        "reason": text(_("reason"), required=False),
    }


def _edit(instance: Any) -> Fields:
    kept = forms.BooleanField(
        label=_("break-glass account"),
        required=False,
        initial=getattr(instance, "break_glass", False),
        help_text=_(
            "For the day on which people cannot sign in as always. Each use notifies administrators and auditors."
        ),
    )
    return {**_profile(instance), "break_glass": kept, "reason": text(_("reason"))}


def _own(instance: Any) -> Fields:
    me = _myself()
    profile = _profile(me)
    return {
        **{name: profile[name] for name in ("telephone", "email", "language")},
        "quiet_from": clock(
            _("quiet hours start"),
            required=False,
            initial=me.quiet_from if me else None,
            help_text=_(
                "Ringi sends only urgent mail between these hours. If empty, the hours of the recipient group apply."
            ),
        ),
        "quiet_until": clock(_("quiet hours end"), required=False, initial=me.quiet_until if me else None),
    }


def _token(instance: Any) -> Fields:
    issuer = text(_("issuer of the workload identity"), most=length(Token, "issuer"), required=False)
    issuer.help_text = _(
        "For a pipeline without a stored secret, such as https://token.actions.githubusercontent.com or the address of "
        "GitLab. If empty, the token is a secret that is shown once."
    )
    subject = text(_("subject of the workload identity"), most=length(Token, "subject"), required=False)
    subject.help_text = _("Enter exactly what the platform states, such as repo:example/shop:environment:production.")
    return {
        "environments": forms.ModelMultipleChoiceField(
            label=_("environments"), queryset=Environment.objects.all(), required=False
        ),
        "days": forms.IntegerField(label=_("validity (days)"), min_value=1, max_value=365, initial=90),
        "issuer": issuer,
        "subject": subject,
        "reason": text(_("reason"), required=False),
    }


def _issue(pk: int, *, environments: Any, **given: Any) -> Any:
    token, secret = tokens.issue_token(pk, environments=tuple(e.pk for e in environments), **given)
    token.secret = secret  # type: ignore[attr-defined]  # shown this once by the page
    return token


def role_field(fits: Callable[[Role], bool]) -> forms.ChoiceField:
    """Return a choice of the roles that fit."""
    choices = [(key, str(role)) for key, role in roles().items() if fits(role)]
    return forms.ChoiceField(label=_("role"), choices=choices)


def _grant(instance: Any) -> Fields:
    rights, everywhere = read_rights(access.current_account()), list(Environment.objects.all())
    where = row(_("environment (none: all)"), Environment, required=False)
    what = row(_("application (none: all)"), Application, required=False)
    # An account that manages access in some environments only, or for some applications, chooses one of them.
    scopes = {pk: rights.about(pk) for pk in (None, *rights.named)}
    if not any(scope.may("manage_access") for scope in scopes.values()):
        given = [e.pk for e in everywhere if any(scope.may("manage_access", e) for scope in scopes.values())]
        where = row(_("environment"), Environment)
        where.queryset = Environment.objects.filter(pk__in=given)
    if not any(rights.may("manage_access", place) for place in (None, *everywhere)):
        named = [
            pk for pk, scope in scopes.items() if pk and any(scope.may("manage_access", e) for e in (None, *everywhere))
        ]
        what = row(_("application"), Application)
        what.queryset = Application.objects.filter(pk__in=named)
    service = isinstance(instance, Account) and instance.kind == Account.Kind.SERVICE
    return {
        "role": role_field(lambda role: role.may_be_granted and role.is_service == service),
        "environment_id": where,
        "application_id": what,
        **({} if what.required else group_fields()),
        "starts_at": ZonedDateTimeField(label=_("from (none: at once)"), required=False),
        "until": ZonedDateTimeField(label=_("until"), required=False),
        "reason": text(_("reason")),
    }


def group_fields() -> Fields:
    """Return the choice of a group in place of an application, where there are any."""
    groups = Application.objects.exclude(group="").order_by("group").values_list("group", flat=True).distinct()
    choices = [("", _("none")), *((group, group) for group in groups)]
    field = forms.ChoiceField(label=_("or application group"), choices=choices, required=False)
    return {"application_group": field} if len(choices) > 1 else {}


def _asked_of_grant(instance: Any) -> list[tuple[str, Environment | None]]:
    return [("manage_access", place) for place in (None, *Environment.objects.all())]


def _asked_of_item(item: AccessReviewItem) -> list[tuple[str, Environment | None]]:
    return [("manage_access", item.grant.environment)]


def _request(instance: Any) -> Fields:
    return {
        "role": role_field(lambda role: role.state == Role.State.IN_USE and role.based_on in ASKED_FOR),
        "environment_id": row(_("environment"), Environment),
        "application_id": row(_("application (none: all)"), Application, required=False),
        "hours": forms.IntegerField(label=_("duration in hours"), min_value=1, max_value=request.MOST_HOURS, initial=4),
        "reason": text(_("purpose of access")),
    }


def _answer(instance: Any) -> Fields:
    return {"answer": text(_("answer"), required=False)}


def _refusal(instance: Any) -> Fields:
    return {"answer": text(_("reason for rejection"))}


def _asked(asked: AccessRequest) -> list[tuple[str, str]]:
    cell = asked.environment.access_rules.filter(role=asked.role).first()
    return [
        (_now("person"), str(asked.account)),
        (_now("role"), str(asked.role)),
        (_now("environment"), str(asked.environment)),
        (_now("application"), str(asked.application or _now("all"))),
        (_now("access level"), str(cell.get_level_display()) if cell else "—"),
        (_now("hours"), str(asked.hours)),
        (_now("reason"), asked.reason),
    ]


def _granted(of: AccessGrant) -> list[tuple[str, str]]:
    return [
        (_now("person"), str(of.account)),
        (_now("role"), str(of.role)),
        (_now("environment"), str(of.environment or _now("all"))),
        (_now("application"), str(of.application or of.application_group or _now("all"))),
        (_now("granted by"), str(of.granted_by or "—")),
        (_now("enrolled"), str(of.account.enrolled_at and times.shown(of.account.enrolled_at) or "—")),
        (_now("invited by"), str(of.account.invited_by or "—")),
        (_now("reason"), of.reason),
    ]


def _opening(instance: Any) -> Fields:
    return {"due_at": ZonedDateTimeField(label=_("due")), "reason": text(_("reason"))}


def _note(instance: Any) -> Fields:
    return {"note": text(_("note"), required=False)}


def _why(instance: Any) -> Fields:
    return {"note": text(_("reason for revocation"))}


def _delegate(instance: Any) -> Fields:
    return {
        "delegator_id": people(_("person represented"), _myself()),
        "delegate_id": people(_("delegate")),
        "starts_at": ZonedDateTimeField(label=_("from")),
        "until": ZonedDateTimeField(label=_("until")),
        "reason": text(_("reason")),
    }


def _stands_in(of: Delegation) -> list[tuple[str, str]]:
    return [
        (_now("person represented"), str(of.delegator)),
        (_now("delegate"), str(of.delegate)),
        (_now("registered by"), str(of.requested_by)),
        (_now("reason"), of.reason),
    ]


def _completed(row: AccessGrant) -> str:
    return _now("The role is confirmed.") if row.confirmed_at else _now("Another administrator must confirm this too.")


ADMIN, GIVE, LOOK = ("manage_accounts",), ("manage_access",), ("read",)
on_account = partial(Verb, "account", signs=True)
on_token = partial(Verb, "token", rights=ADMIN, signs=True)
on_access = partial(Verb, "access")
on_access_review = partial(Verb, "access_review", rights=GIVE, signs=True)
on_delegation = partial(Verb, "delegation")
VERBS: tuple[Verb, ...] = (
    on_account("create", _("Create account"), accounts.create, ADMIN, fields=_account, makes=Account, from_file=True),
    on_account("edit", _("Change account"), editing.edit, ADMIN, model=Account, fields=_edit),
    on_account("edit_own", _("Edit contact settings"), editing.edit_own, LOOK, fields=_own, signs=False),
    on_account("invite", _("Invite person"), invitations.invite, ADMIN, model=Account, fields=must),
    on_account(
        "deactivate",
        _("Deactivate account"),
        closing.deactivate,
        ADMIN,
        model=Account,
        danger=True,
        preview=preview.of_closing,
    ),
    on_account("reactivate", _("Reactivate account"), closing.reactivate, ADMIN, model=Account),
    on_token("issue", _("Issue token"), _issue, model=Account, fields=_token),
    on_token("revoke", _("Revoke token"), tokens.revoke, model=Token, danger=True),
    on_access(
        "grant",
        _("Grant access"),
        grant.request_role,
        GIVE,
        model=Account,
        fields=_grant,
        signs=True,
        asked=_asked_of_grant,
    ),
    on_access(
        "confirm",
        _("Confirm access grant"),
        grant.confirm,
        GIVE,
        model=AccessGrant,
        signs=True,
        shows=_granted,
        result_message=_completed,
    ),
    on_access(
        "revoke",
        _("Revoke grant"),
        grant.revoke,
        GIVE,
        model=AccessGrant,
        signs=True,
        danger=True,
        shows=_granted,
        preview=preview.of_ending,
    ),
    on_access("request", _("Request access"), request.request, LOOK, fields=_request),
    on_access(
        "approve",
        _("Approve access request"),
        request.approve,
        GIVE,
        model=AccessRequest,
        fields=_answer,
        signs=True,
        shows=_asked,
    ),
    on_access(
        "reject",
        _("Reject access request"),
        request.reject,
        GIVE,
        model=AccessRequest,
        fields=_refusal,
        danger=True,
        shows=_asked,
    ),
    on_access_review("open", _("Open access review"), review.open_review, fields=_opening),
    on_access_review(
        "keep",
        _("Still needed"),
        review.keep,
        model=AccessReviewItem,
        fields=_note,
        shows=lambda item: _granted(item.grant),
        asked=_asked_of_item,
    ),
    on_access_review(
        "revoke",
        _("Revoke grant"),
        review.revoke,
        model=AccessReviewItem,
        fields=_why,
        danger=True,
        shows=lambda item: _granted(item.grant),
        asked=_asked_of_item,
    ),
    on_access_review("close", _("Close access review"), review.close, model=AccessReview),
    on_delegation(
        "request",
        _("Appoint delegate"),
        delegates.request_delegation,
        LOOK,
        fields=_delegate,
        signs=True,
        preview=preview.of_absence,
    ),
    on_delegation(
        "confirm", _("Confirm delegation"), delegates.confirm, GIVE, model=Delegation, signs=True, shows=_stands_in
    ),
    on_delegation(
        "revoke", _("Revoke delegation"), delegates.revoke, LOOK, model=Delegation, danger=True, shows=_stands_in
    ),
)
