"""Verbs on accounts, tokens, grants, access requests, access reviews, delegations and two-factor authentication."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext as _now, gettext_lazy as _

from audit.actor import MissingActor, current
from environments import access, times
from environments.models import (
    AccessGrant,
    AccessRequest,
    AccessReview,
    AccessReviewItem,
    Account,
    Delegation,
    Environment,
    Token,
)
from environments.operations.access import grant, request
from environments.operations.access_review import review
from environments.operations.account import (
    create as accounts,
    deactivate as closing,
    edit as editing,
    invite as invitations,
)
from environments.operations.delegation import request as delegates
from environments.operations.environment import require_two_factor
from environments.operations.token import issue as tokens
from environments.roles import ASKED_FOR, ROLE_CHOICES
from releases.admin.components import staffing_preview as preview
from releases.admin.operations.base import LinesField, Verb, ZonedDateTimeField, clock, length, must, reason, row, text

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
    }


def _edit(instance: Any) -> Fields:
    return {**_profile(instance), "reason": text(_("reason"))}


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
    return {
        "environments": forms.ModelMultipleChoiceField(
            label=_("environments"), queryset=Environment.objects.all(), required=False
        ),
        "days": forms.IntegerField(label=_("validity (days)"), min_value=1, max_value=365, initial=90),
        "reason": text(_("reason"), required=False),
    }


def _issue(pk: int, *, environments: Any, days: int, reason: str) -> Any:
    token, secret = tokens.issue_token(pk, environments=tuple(e.pk for e in environments), days=days, reason=reason)
    token.secret = secret  # type: ignore[attr-defined]  # shown this once by the page
    return token


def _grant(instance: Any) -> Fields:
    giver, where = access.current_account(), row(_("environment (none: all)"), Environment, required=False)
    if not access.may(giver, "manage_access"):
        # An account that manages access in some environments only chooses one of them.
        places = [place.pk for place in Environment.objects.all() if access.may(giver, "manage_access", place)]
        where = row(_("environment"), Environment)
        where.queryset = Environment.objects.filter(pk__in=places)
    service = isinstance(instance, Account) and instance.kind == Account.Kind.SERVICE
    return {
        "role": forms.ChoiceField(
            label=_("role"), choices=[(key, name) for key, name in ROLE_CHOICES if (key == "ci") == service]
        ),
        "environment_id": where,
        "starts_at": ZonedDateTimeField(label=_("from (none: at once)"), required=False),
        "until": ZonedDateTimeField(label=_("until"), required=False),
        "reason": text(_("reason")),
    }


def _asked_of_grant(instance: Any) -> list[tuple[str, Environment | None]]:
    return [("manage_access", place) for place in (None, *Environment.objects.all())]


def _asked_of_item(item: AccessReviewItem) -> list[tuple[str, Environment | None]]:
    return [("manage_access", item.grant.environment)]


def _request(instance: Any) -> Fields:
    return {
        "role": forms.ChoiceField(
            label=_("role"), choices=[(key, name) for key, name in ROLE_CHOICES if key in ASKED_FOR]
        ),
        "environment_id": row(_("environment"), Environment),
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
        (_now("role"), str(asked.get_role_display())),
        (_now("environment"), str(asked.environment)),
        (_now("access level"), str(cell.get_level_display()) if cell else "—"),
        (_now("hours"), str(asked.hours)),
        (_now("reason"), asked.reason),
    ]


def _granted(of: AccessGrant) -> list[tuple[str, str]]:
    return [
        (_now("person"), str(of.account)),
        (_now("role"), str(of.get_role_display())),
        (_now("environment"), str(of.environment or _now("all"))),
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


ADMIN, GIVE, LOOK = ("manage_accounts",), ("manage_access",), ("read",)
VERBS: tuple[Verb, ...] = (
    Verb("account", "create", _("Create account"), accounts.create, ADMIN, fields=_account, signs=True, makes=Account),
    Verb("account", "edit", _("Change account"), editing.edit, ADMIN, Account, _edit, signs=True),
    Verb("account", "edit_own", _("Edit contact settings"), editing.edit_own, LOOK, fields=_own),
    Verb("account", "invite", _("Invite person"), invitations.invite, ADMIN, Account, must, signs=True),
    Verb("account", "deactivate", _("Deactivate account"), closing.deactivate, ADMIN, Account, must, signs=True, danger=True,
         preview=preview.of_closing),
    Verb("account", "reactivate", _("Reactivate account"), closing.reactivate, ADMIN, Account, must, signs=True),
    Verb("token", "issue", _("Issue token"), _issue, ADMIN, Account, _token, signs=True),
    Verb("token", "revoke", _("Revoke token"), tokens.revoke, ADMIN, Token, must, signs=True, danger=True),
    Verb("access", "grant", _("Grant access"), grant.request_role, GIVE, Account, _grant, signs=True, asked=_asked_of_grant),
    Verb("access", "confirm", _("Confirm access grant"), grant.confirm, GIVE, AccessGrant, reason, signs=True, shows=_granted),
    Verb("access", "revoke", _("Revoke grant"), grant.revoke, GIVE, AccessGrant, must, signs=True, danger=True, shows=_granted,
         preview=preview.of_ending),
    Verb("access", "request", _("Request access"), request.request, LOOK, fields=_request),
    Verb("access", "approve", _("Approve access request"), request.approve, GIVE, AccessRequest, _answer, signs=True, shows=_asked),
    Verb("access", "reject", _("Reject access request"), request.reject, GIVE, AccessRequest, _refusal, danger=True, shows=_asked),
    Verb("access_review", "open", _("Open access review"), review.open_review, GIVE, fields=_opening, signs=True),
    Verb("access_review", "keep", _("Still needed"), review.keep, GIVE, AccessReviewItem, _note, signs=True, shows=lambda item: _granted(item.grant), asked=_asked_of_item),
    Verb("access_review", "revoke", _("Revoke grant"), review.revoke, GIVE, AccessReviewItem, _why, signs=True, danger=True, shows=lambda item: _granted(item.grant), asked=_asked_of_item),
    Verb("access_review", "close", _("Close access review"), review.close, GIVE, AccessReview, reason, signs=True),
    Verb("delegation", "request", _("Appoint delegate"), delegates.request_delegation, LOOK, fields=_delegate, signs=True,
         preview=preview.of_absence),
    Verb("delegation", "confirm", _("Confirm delegation"), delegates.confirm, GIVE, Delegation, reason, signs=True, shows=_stands_in),
    Verb("delegation", "revoke", _("Revoke delegation"), delegates.revoke, LOOK, Delegation, must, danger=True, shows=_stands_in),
    Verb("environment", "require_two_factor", _("Set two-factor requirement"), require_two_factor.require_two_factor, GIVE, Environment, _factor, signs=True),
)  # fmt: skip
