"""Permissions at a past moment, read from the ledger alone; `environments.access` answers for now.

Rules, grants, delegates and accounts are read as they were; what a level or a role means is code, and so as it is
today.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from audit import as_of
from audit.as_of import Life, Past, moment_of
from environments.models import Account, Application, Environment
from environments.models.account import FACTORS
from environments.roles import DECIDING, LEVELS, READING, ROLE_PERMISSIONS, in_environment


@dataclass(frozen=True)
class Held:
    """A role as an account held it, with what it allowed beside its levels: by which grant, in which environment and
    for which applications (None: all), and as whose delegate.
    """

    account: int
    role: str
    permissions: frozenset[str]
    environment: int | None
    applications: frozenset[int] | None
    grant: Past
    delegate_for: int | None = None

    def counts_for(self, application: int | None) -> bool:
        """Tell whether it counted for an application, by its key; None: for all of them."""
        return self.applications is None or application in self.applications

    def meets(self, other: "Held") -> bool:
        """Tell whether it counted for an application for which another one did too."""
        return self.applications is None or other.applications is None or bool(self.applications & other.applications)


@dataclass(frozen=True)
class Person:
    """An account as it was."""

    pk: int
    name: str
    person_key: str
    kind: str
    active: bool


class AccessAsOf:
    """The history of access, read once and asked for any moment; it holds what few people cause, not what deployments
    cause.
    """

    def __init__(self, until: datetime | None = None) -> None:
        """until: read no further; moments after it are answered as at it."""
        self.until = until
        # Of the moment that was asked about last: a page asks about many rights at one.
        self._held: dict[datetime, list[Held]] = {}
        self._levels: dict[datetime, dict[tuple[str, int], str]] = {}

    def _lives(self, name: str) -> dict[str, Life]:
        return as_of.lives_of(f"environments.{name}", self.until)

    @cached_property
    def rules(self) -> dict[str, Life]:
        """The cells of the matrix."""
        return self._lives("AccessRule")

    @cached_property
    def roles_there(self) -> dict[str, Life]:
        """The roles."""
        return self._lives("Role")

    @cached_property
    def grants(self) -> dict[str, Life]:
        """The grants."""
        return self._lives("AccessGrant")

    @cached_property
    def accounts(self) -> dict[str, Life]:
        """The accounts."""
        return self._lives("Account")

    @cached_property
    def delegates(self) -> dict[str, Life]:
        """The delegations."""
        return self._lives("Delegation")

    @cached_property
    def factors(self) -> dict[str, Life]:
        """The second factors."""
        return as_of.lives_of("mfa.Authenticator", self.until)

    def account(self, account: int, moment: datetime) -> Account | None:
        """Return the row of an account as it was, unsaved; None before it was there."""
        life = self.accounts.get(str(account))
        past = life.at(moment) if life is not None else None
        return as_of.instance(Account, past) if past is not None else None

    def person(self, account: int, moment: datetime) -> Person | None:
        """Return what counts of an account as it was; None before it was there."""
        row = self.account(account, moment)
        return Person(account, str(row), row.person_key, row.kind, row.is_active) if row is not None else None

    def people(self, moment: datetime) -> dict[int, Person]:
        """Return pk → account of all that were there."""
        found = {int(pk): self.person(int(pk), moment) for pk in self.accounts}
        return {pk: person for pk, person in found.items() if person is not None}

    def levels(self, moment: datetime) -> dict[tuple[str, int], str]:
        """Return (role, environment) → level of the matrix as it was."""
        if moment not in self._levels:
            cells = [past.values for life in self.rules.values() if (past := life.at(moment)) is not None]
            self._levels = {moment: {(cell["role"], cell["environment_id"]): cell["level"] for cell in cells}}
        return self._levels[moment]

    def held(self, moment: datetime, account: int | None = None) -> list[Held]:
        """Return the roles in effect at a moment, of everyone or of one account, without those of delegates."""
        if moment not in self._held:
            self._held = {moment: self._read(moment)}
        return [one for one in self._held[moment] if account in (None, one.account)]

    def _read(self, moment: datetime) -> list[Held]:
        found = []
        for life in self.grants.values():
            grant = life.at(moment)
            if grant is None:
                continue
            values = grant.values
            permissions, decides = self._role(values["role"], moment)
            open_ = self._open(values["account_id"], moment, decides=decides)
            if permissions and _counts(values, moment) and open_:
                applications = self._applications(values)
                place = values["environment_id"]
                found.append(Held(values["account_id"], values["role"], permissions, place, applications, grant))
        return found

    @cached_property
    def groups(self) -> dict[str, frozenset[int]]:
        """The keys of the applications of each group; an application keeps its group."""
        found: dict[str, frozenset[int]] = {}
        for pk, group in Application.objects.values_list("pk", "group"):
            found[group] = found.get(group, frozenset()) | {pk}
        return found

    def _applications(self, grant: dict[str, Any]) -> frozenset[int] | None:
        """Return the applications of a grant; one from before grants had any is for all."""
        if grant.get("application_id") is not None:
            return frozenset({grant["application_id"]})
        group = grant.get("application_group", "")
        return self.groups.get(group, frozenset()) if group else None

    def _role(self, key: str, moment: datetime) -> tuple[frozenset[str], bool]:
        """Return what a role allowed beside its levels (nothing while it was not in use), and whether it decided.

        Before roles were rows, there were the shipped ones alone.
        """
        life = self.roles_there.get(key)
        role = life.at(moment) if life is not None else None
        if role is None:
            return ROLE_PERMISSIONS.get(key, frozenset()), key in DECIDING
        named = frozenset(role.values["named_permissions"])
        allows = ROLE_PERMISSIONS[role.values["based_on"]] | named if role.values["state"] == "in_use" else frozenset()
        return allows, role.values["decides"]

    def stood_in_for(self, account: int, moment: datetime) -> list[int]:
        """Return the accounts whose delegate an account was."""
        found = []
        for life in self.delegates.values():
            past = life.at(moment)
            if past is not None and past.values["delegate_id"] == account and _counts(past.values, moment):
                absent = past.values["delegator_id"]
                if self._open(absent, moment) and self._open(account, moment, decides=True):
                    found.append(absent)
        return found

    def with_delegates(self, moment: datetime) -> list[Held]:
        """Return all roles in effect, and again those that delegates had in somebody's place."""
        found = self.held(moment)
        people = {held.account for held in found}
        for life in self.delegates.values():
            past = life.at(moment)
            if past is None or not _counts(past.values, moment):
                continue
            absent, delegate = past.values["delegator_id"], past.values["delegate_id"]
            if absent in people and self._open(delegate, moment, decides=True):
                found += [
                    replace(h, account=delegate, delegate_for=absent)
                    for h in found
                    if h.account == absent and h.delegate_for is None
                ]
        return found

    def roles(
        self, account: int, moment: datetime, application: int | None, environment: int | None = None
    ) -> set[str]:
        """Return the roles of an account for an application, in one environment or anywhere."""
        held = self._for(application, account, moment)
        return {role for role, place in held if environment is None or place in (None, environment)}

    def counting(self, account: int, moment: datetime, application: int | None, *environments: int | None) -> set[str]:
        """Return the roles that counted for a decision, as `environments.access.counting_in` would have then."""
        there = self._for(application, account, moment)
        return {role for role, _place in there if all({(role, None), (role, place)} & there for place in environments)}

    def _for(self, application: int | None, account: int, moment: datetime) -> set[tuple[str, int | None]]:
        return {(h.role, h.environment) for h in self.held(moment, account) if h.counts_for(application)}

    def may(
        self,
        account: int,
        permission: str,
        moment: datetime,
        environment: int | None = None,
        application: int | None = None,
    ) -> bool:
        """Answer as `environments.access.may` would have then."""
        levels = self.levels(moment) if in_environment(permission) and environment is not None else {}
        return any(
            allows(held, permission, environment, levels)
            for held in self.held(moment, account)
            if held.counts_for(application) or (permission == "read" and application is None)
        )

    def _open(self, account: int, moment: datetime, *, decides: bool = False) -> bool:
        """Tell whether an account was open, and where a person decides, enrolled with a second factor."""
        life = self.accounts.get(str(account))
        past = life.at(moment) if life is not None else None
        if past is None or past.values["is_active"] is not True:
            return False
        if not decides or past.values["kind"] == Account.Kind.SERVICE:
            return True
        return past.values["enrolled_at"] is not None and self._has_factor(account, moment)

    def _has_factor(self, account: int, moment: datetime) -> bool:
        found = (life.at(moment) for life in self.factors.values())
        return any(
            row is not None and row.values["user_id"] == account and row.values["type"] in FACTORS for row in found
        )


def allows(held: Held, permission: str, environment: int | None, levels: dict[tuple[str, int], str]) -> bool:
    """Tell whether a role held allows a permission in an environment (None: none in particular)."""
    if environment is not None and held.environment not in (None, environment):
        return False
    if in_environment(permission) and environment is not None:
        return permission in LEVELS[levels.get((held.role, environment), "none")]
    if environment is None and held.environment is not None and permission not in READING:
        return False
    return permission in held.permissions


def _counts(values: dict[str, Any], moment: datetime) -> bool:
    """Tell whether a grant or a delegate counts at a moment: confirmed, begun, not ended, not revoked."""
    begins, until = moment_of(values["starts_at"]), moment_of(values["until"])
    confirmed, revoked = moment_of(values["confirmed_at"]), moment_of(values["revoked_at"])
    return (
        confirmed is not None
        and revoked is None
        and begins is not None
        and begins <= moment
        and (until is None or until > moment)
    )


def once_protected() -> set[int]:
    """Return the environments that are protected, and those that were so at some time by the ledger."""
    lives = as_of.lives_of(Environment._meta.label)
    protected = {int(pk) for pk, life in lives.items() if any(past.values.get("protected") for past in life.states)}
    return protected | set(Environment.objects.filter(protected=True).values_list("pk", flat=True))
