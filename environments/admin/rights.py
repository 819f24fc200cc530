"""The rights of one account, read once per request, so that a page can ask about many buttons. Pages call it.

It only decides what is shown; every operation asks `environments.access` again.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, wraps
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.core.exceptions import PermissionDenied
from django.db.models import Model, OuterRef, Q, QuerySet
from django.db.models.functions import JSONObject
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from audit.refusals import OperationRefused
from environments import access
from environments.access import Held, as_held
from environments.application_scope import application_of, applications_of, within
from environments.models import AccessGrant, AccessRule, Account, Environment
from environments.roles import LEVELS, READING, ROLE_PERMISSIONS, in_environment

# Who decides about releases, or checks those who do, sees what runs where without a cell in the matrix.
OVERSEERS = ("audit", "plan", "approve")


@dataclass(frozen=True)
class Rights:
    """Grants, the levels of their roles as (role, environment id) → level, and role → what it may do beside its levels.

    What is asked without `about` is asked for all applications, but for looking.
    """

    account: Account | None
    grants: tuple[Held, ...] = ()
    levels: Mapping[tuple[str, int], str] = field(default_factory=dict)
    permissions: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def roles(self) -> frozenset[str]:
        """Return the roles held now, anywhere."""
        return frozenset(role for role, _environment, _applications in self.grants)

    @property
    def named(self) -> frozenset[int]:
        """Return the keys of the applications that its grants name, by themselves or by their group."""
        return frozenset[int]().union(*(applications for _role, _place, applications in self.grants if applications))

    @cached_property
    def applications(self) -> frozenset[int] | None:
        """Return the keys of the applications whose rows the account sees, for itself or as a delegate; None: all."""
        own = self.applications_for("read")
        absent = access.absent_persons_of(self.account) if own is not None and self.account is not None else []
        for person in absent:
            theirs = read_rights(person).applications_for("read")
            if theirs is None or own is None:
                return None
            own |= theirs
        return own

    def applications_for(self, permission: str) -> frozenset[int] | None:
        """Return the keys of the applications for which it may in any environment; None: all."""
        found = frozenset[int]()
        for grant in self.grants:
            if any(self._gives(grant, permission, where) for where in (None, *self._places(grant[0]))):
                if grant[2] is None:
                    return None
                found |= grant[2]
        return found

    def about(self, row: Model | int | None) -> "Rights":
        """Return the rights for the application of a row, or for that of this key; for all where it has none."""
        application = row if isinstance(row, int) or row is None else application_of(row)
        if application is None:
            return self
        counting = (grant for grant in self.grants if grant[2] is None or application in grant[2])
        return replace(self, grants=tuple((role, place, None) for role, place, _applications in counting))

    @property
    def audits_only(self) -> bool:
        """Tell whether no role held allows more than an auditor's."""
        return all(may <= ROLE_PERMISSIONS["auditor"] for may in self.permissions.values())

    def held(self, environment: Environment) -> frozenset[str]:
        """Return the roles that count in an environment."""
        here = (None, environment.pk)
        return frozenset(role for role, where, named in self.grants if where in here and named is None)

    def anywhere(self, permission: str) -> bool:
        """Tell whether it may in any environment, for any application: what a page need not read for the others."""
        if in_environment(permission):
            return any(permission in LEVELS[level] for level in self.levels.values())
        return any(permission in self.permissions[role] for role in self.roles)

    def may(self, permission: str, environment: Environment | None = None) -> bool:
        """Answer as `environments.access.may` does."""
        place = environment.pk if environment is not None else None
        return any(
            self._gives(grant, permission, place) for grant in self.grants if grant[2] is None or permission == "read"
        )

    def _gives(self, grant: Held, permission: str, place: int | None) -> bool:
        """Tell whether a grant gives a permission in an environment (None: in all), for whichever applications."""
        role, where, _applications = grant
        if in_environment(permission) and place is not None:
            return where in (None, place) and permission in LEVELS[self.levels.get((role, place), "none")]
        there = where is None or (where == place if place is not None else permission in READING)
        return there and permission in self.permissions[role]

    def _places(self, role: str) -> list[int]:
        return [place for held, place in self.levels if held == role]

    def seen(
        self,
        environments: Iterable[Environment],
        paths: tuple[str, str],
        sees: "Callable[[Rights, Environment], bool] | None" = None,
    ) -> Q:
        """Return the condition on rows that are seen of these environments: by default what `sees` shows.

        paths: those from a row to its environment and to its application.
        """
        place, application = paths
        shown, places = sees or Rights.sees, list(environments)
        found = Q(**{f"{place}__in": [e.pk for e in places if shown(self, e)]})
        limited = dict[tuple[int, ...], list[int]]()
        for pk in self.named:
            rights = self.about(pk)
            limited.setdefault(tuple(e.pk for e in places if shown(rights, e)), []).append(pk)
        for there, keys in limited.items():
            found |= Q(**{f"{place}__in": there, f"{application}__in": keys})
        return found

    def sees(self, environment: Environment | None, what: str = "view") -> bool:
        """Tell whether configuration, target and metrics (`view`) or step logs (`read_logs`) of an environment are
        shown.
        """
        return self.may(what, environment) or any(self.may(permission, environment) for permission in OVERSEERS)


@cache
def _grants_with_cells() -> Any:
    """Return the query for the grants in effect with their cells of the matrix; every request asks it."""
    cells = AccessRule.objects.filter(role=OuterRef("role"))
    found = ArraySubquery(cells.values(cell=JSONObject(where="environment_id", level="level")))
    columns = ("role", "role__based_on", "role__named_permissions", "environment_id", "applications", "cells")
    return AccessGrant.objects.in_effect().with_applications().annotate(cells=found).values_list(*columns)


def read_rights(account: Any) -> Rights:
    """Return the rights of an account in one query; none for a closed account or a visitor."""
    if not isinstance(account, Account) or not account.is_active:
        return Rights(None)
    grants, levels, permissions = [], {}, {}
    for role, based_on, named, environment, applications, cells_there in _grants_with_cells().filter(account=account):
        grants.append(as_held(role, environment, applications))
        permissions[role] = ROLE_PERMISSIONS[based_on] | frozenset(named)
        levels.update({(role, cell["where"]): cell["level"] for cell in cells_there})
    return Rights(account, tuple(grants), levels, permissions)


def rights_of(request: HttpRequest) -> Rights:
    """Return the rights of the request's account, read once per request."""
    known = getattr(request, "ringi_rights", None)
    if known is None:
        known = read_rights(request.user)
        request.ringi_rights = known  # type: ignore[attr-defined]
    return known


def shown_to[M: Model](request: HttpRequest, rows: QuerySet[M]) -> QuerySet[M]:
    """Keep the rows of the applications that the reader sees, and those that belong to none."""
    return within(rows, rights_of(request).applications)


def found_or_404[M: Model](request: HttpRequest, rows: QuerySet[M], **lookup: Any) -> M:
    """Return the row that a page is about; raises Http404 also for one of an application that the reader does not
    see, and PermissionDenied for a reader without a role.
    """
    if not rights_of(request).grants:
        raise PermissionDenied
    return get_object_or_404(shown_to(request, rows), **lookup)


def require_shown(request: HttpRequest, label: str) -> None:
    """Raise PermissionDenied for a reader limited to some applications, where the row of a label (`app.Model:pk`) is
    not of one of them. Empty: what the page shows is of all applications.
    """
    seen = rights_of(request).applications
    if seen is not None and applications_of([label]).get(label) not in seen:
        raise PermissionDenied


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
    """Make a view a page: for signed-in staff that may look, read only (any other method is answered 405).

    A page that lacks something, such as a procedure in effect, is answered 403 with the reason.
    """

    @wraps(view)
    @require_safe
    def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not getattr(request.user, "is_staff", False) or not rights_of(request).may("read"):
            raise PermissionDenied
        request.ringi_may_look = True  # type: ignore[attr-defined]  # what the admin's menu would ask again
        try:
            return view(request, *args, **kwargs)
        except OperationRefused as refused:
            raise PermissionDenied(str(refused)) from refused

    return shown
