"""The rights of one account, read once per request, so that a page can ask about many buttons. Pages call it.

It only decides what is shown; every operation asks `environments.access` again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef
from django.db.models.functions import JSONObject
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from environments.models import AccessGrant, AccessRule, Account, Environment
from environments.roles import LEVELS, READING, ROLE_PERMISSIONS, in_environment

# Who decides about releases, or checks those who do, sees what runs where without a cell in the matrix.
OVERSEERS = ("audit", "plan", "approve")


@dataclass(frozen=True)
class Rights:
    """Grants as (role, environment id or None), the levels of those roles as (role, environment id) → level, and role →
    what it may do beside its levels.
    """

    account: Account | None
    grants: tuple[tuple[str, int | None], ...] = ()
    levels: Mapping[tuple[str, int], str] = field(default_factory=dict)
    permissions: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def roles(self) -> frozenset[str]:
        """Return the roles held now, anywhere."""
        return frozenset(role for role, _environment in self.grants)

    @property
    def audits_only(self) -> bool:
        """Tell whether no role held allows more than an auditor's."""
        return all(may <= ROLE_PERMISSIONS["auditor"] for may in self.permissions.values())

    def held(self, environment: Environment) -> frozenset[str]:
        """Return the roles that count in an environment."""
        return frozenset(role for role, where in self.grants if where in (None, environment.pk))

    def anywhere(self, permission: str) -> bool:
        """Tell whether the account may in any environment: what a page need not read for the others."""
        if in_environment(permission):
            return any(permission in LEVELS[level] for level in self.levels.values())
        return any(permission in self.permissions[role] for role in self.roles)

    def may(self, permission: str, environment: Environment | None = None) -> bool:
        """Answer as `environments.access.may` does."""
        if in_environment(permission) and environment is not None:
            return any(
                permission in LEVELS[self.levels.get((role, environment.pk), "none")]
                for role, where in self.grants
                if where in (None, environment.pk)
            )
        return any(
            permission in self.permissions[role]
            for role, where in self.grants
            if where is None or (where == environment.pk if environment is not None else permission in READING)
        )

    def sees(self, environment: Environment | None, what: str = "view") -> bool:
        """Tell whether configuration, target and metrics (`view`) or step logs (`read_logs`) of an environment are
        shown.
        """
        return self.may(what, environment) or any(self.may(permission, environment) for permission in OVERSEERS)


def read_rights(account: Any) -> Rights:
    """Return the rights of an account in one query; none for a closed account or a visitor."""
    if not isinstance(account, Account) or not account.is_active:
        return Rights(None)
    cells = AccessRule.objects.filter(role=OuterRef("role"))
    held = AccessGrant.objects.in_effect().filter(account=account)
    rows = held.annotate(cells=ArraySubquery(cells.values(cell=JSONObject(where="environment_id", level="level"))))
    grants, levels, permissions = [], {}, {}
    columns = ("role", "role__based_on", "role__named_permissions", "environment_id", "cells")
    for role, based_on, named, environment, found in rows.values_list(*columns):
        grants.append((role, environment))
        permissions[role] = ROLE_PERMISSIONS[based_on] | frozenset(named)
        levels.update({(role, cell["where"]): cell["level"] for cell in found})
    return Rights(account, tuple(grants), levels, permissions)


def rights_of(request: HttpRequest) -> Rights:
    """Return the rights of the request's account, read once per request."""
    known = getattr(request, "ringi_rights", None)
    if known is None:
        known = read_rights(request.user)
        request.ringi_rights = known  # type: ignore[attr-defined]
    return known


def auditors(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Make a view a page for those with the right to audit."""

    @page
    @wraps(view)
    def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not rights_of(request).may("audit"):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return shown


def page(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Make a view a page: for signed-in staff that may look, read only (any other method is answered 405)."""

    @wraps(view)
    @require_safe
    def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not getattr(request.user, "is_staff", False) or not rights_of(request).may("read"):
            raise PermissionDenied
        request.ringi_may_look = True  # type: ignore[attr-defined]  # what the admin's menu would ask again
        return view(request, *args, **kwargs)

    return shown
