"""Permissions of the token's own account, checked as every operation checks them."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Router, Schema

from audit.refusals import NotPermitted
from environments import access
from environments.language import listed
from environments.models import AccessRule, Environment
from environments.models.role import role_names
from environments.roles import ENVIRONMENT_PERMISSIONS, LEVEL_CHOICES
from releases.api.rows import application_named, environment_named, known
from releases.api.token import caller_of
from releases.api.words import PERMISSIONS, Permission, Slug

router = Router(tags=["permissions"])


class PermissionOut(Schema):
    """Whether the token's own account has a permission, and from what that follows."""

    account: str
    permission: Permission
    environment: str | None
    application: str | None
    allowed: bool
    reason: str
    roles: list[str]
    levels: list[str]
    token_environments: list[str]
    token_expires_at: datetime


@router.get("", response=PermissionOut)
def show_permission(
    request: HttpRequest, permission: Permission, environment: Slug | None = None, application: Slug | None = None
) -> Any:
    """Say whether the token's account has a permission, anywhere or in one environment, for all applications or one,
    and why.
    """
    caller = caller_of(request)
    what = application_named(caller, application).pk if application is not None else None
    known(permission, PERMISSIONS, "permission")
    where, reached = _where(request, environment)
    roles = sorted(access.roles_of(caller.account, where, what))
    levels = []
    if where is not None:
        levels = sorted(
            AccessRule.objects.filter(role__key__in=roles, environment=where).values_list("level", flat=True)
        )
    allowed = reached and access.may(caller.account, permission, where, what)
    return PermissionOut(
        account=str(caller.account),
        permission=permission,
        environment=environment,
        application=application,
        allowed=allowed,
        reason=_reason(permission, where, reached, roles, levels, allowed),
        roles=roles,
        levels=levels,
        token_environments=[e.slug for e in caller.scope],
        token_expires_at=caller.token.expires_at,
    )


def _where(request: HttpRequest, environment: str | None) -> tuple[Environment | None, bool]:
    if environment is None:
        return None, True
    try:
        return environment_named(caller_of(request), environment), True
    except NotPermitted:
        return Environment.objects.filter(slug=environment).first(), False


def _reason(
    permission: str, where: Environment | None, reached: bool, roles: list[str], levels: list[str], allowed: bool
) -> str:
    if not reached:
        return _("This token does not cover %(environment)s.") % {"environment": where.slug if where else ""}
    if where is None and permission in ENVIRONMENT_PERMISSIONS:
        return _("This permission belongs to an environment. Name the environment.")
    names = role_names()
    held = listed(str(names[role]) for role in roles) or _("no role")
    if levels:
        words = dict(LEVEL_CHOICES)
        held += " (" + listed(str(words[level]) for level in levels) + ")"
    text = (
        _("The permission follows from: %(held)s.") if allowed else _("The permission does not follow from: %(held)s.")
    )
    return text % {"held": held}
