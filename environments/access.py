"""Permission checks: `may(account, permission, environment)` reads the grants, and the backend makes has_perm agree."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Set
from datetime import datetime
from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.db.models import Q
from django.utils.translation import gettext as _

from audit.actor import Actor, current
from audit.refusals import GateNotPassed, NotPermitted, SignatureRequired
from environments.models import AccessGrant, AccessRule, Account, Delegation, Environment, enrolled, sign_in_name
from environments.models.access_grant import AccessGrantQuerySet
from environments.roles import LEVELS, PERMISSION_LABELS, READING, in_environment, roles_with


def roles_of(account: Account, environment: Environment | None = None) -> set[str]:
    """Return the roles that an account holds now, in one environment or anywhere."""
    return set(_grants(account, environment).values_list("role__key", flat=True))


def _grants(account: Account, environment: Environment | None) -> AccessGrantQuerySet:
    return _there(AccessGrant.objects.in_effect().filter(account=account), environment)


def may(account: Account | None, permission: str, environment: Environment | None = None) -> bool:
    """Tell whether an account may do `permission` now; deny by default. A permission in an environment needs one.

    Scope is a pair: a role counts only in the environment that its own grant names, never by union of others. What
    is asked without an environment needs a grant for all of them, but for reading.
    """
    if account is None or not account.is_active or account.pk is None:
        return False
    grants = _grants(account, environment)
    if in_environment(permission) and environment is not None:
        rules = AccessRule.objects.filter(role__in=grants.values("role"), environment=environment)
        levels = rules.values_list("level", flat=True)
        return any(permission in LEVELS[level] for level in levels)
    return grants.filter(giving(permission, environment)).exists()


def current_account() -> Account:
    """Return the account of the actor; raises NotPermitted when the actor is a process."""
    actor = current()
    if actor.account_id is None:
        raise NotPermitted(_("This operation needs a personal account or a service account."))
    account = Account.objects.filter(pk=actor.account_id, is_active=True).first()
    if account is None:
        raise NotPermitted(_("This account is deactivated."))
    return account


def require(permission: str, environment: Environment | None = None, *, instead: str = "") -> Account:
    """Return the acting account if it may; raises NotPermitted with a sentence that names the missing right.

    instead: another permission that suffices.
    """
    account = current_account()
    if not (may(account, permission, environment) or (instead and may(account, instead, environment))):
        raise lacking(permission, environment)
    return account


def lacking(permission: str, environment: Environment | None = None, account: Account | None = None) -> NotPermitted:
    """Return the refusal that names a missing right of an account (None: the actor) in the reader's words."""
    text = _("You do not have the permission “%(permission)s”.")
    if environment is not None:
        text = _("You do not have the permission “%(permission)s” in %(environment)s.")
    said = text % {"permission": PERMISSION_LABELS.get(permission, permission), "environment": environment}
    return NotPermitted(f"{said} {undecided(account or current_account())}".strip())


def require_still(first: Account | None, permission: str, environment: Environment | None = None) -> None:
    """Raise GateNotPassed where the first of two persons may no longer do what they requested; None: a command
    requested it.
    """
    if first is not None and not may(first, permission, environment):
        text = _(
            "%(name)s, who requested this, no longer has the permission. Cancel this request and submit a new one."
        )
        raise GateNotPassed(text % {"name": first})


def undecided(account: Account) -> str:
    """Return why the deciding roles of an account do not count now, in words; empty where they do, or where it has
    none.
    """
    if may_decide(account) or not AccessGrant.objects.lasting().filter(account=account, role__decides=True).exists():
        return ""
    if account.enrolled_at is None:
        return _("A deciding role counts only after its holder has enrolled through an invitation.")
    return _(
        "A deciding role counts only while its holder uses two-factor authentication. Set up two-factor "
        "authentication on your account's page."
    )


def may_decide(account: Account) -> bool:
    """Tell whether a person's decisions count: enrolled through an invitation, with a second factor of their own."""
    return Account.objects.filter(enrolled(), pk=account.pk).exists()


def require_part() -> Account:
    """Return the acting account; raises NotPermitted for one that only audits, since auditors take no part in
    releases.
    """
    account = current_account()
    if audits_only(account):
        raise NotPermitted(_("A person who holds only the auditor role cannot take part in the work that they audit."))
    return account


def audits_only(account: Account) -> bool:
    """Tell whether all roles that an account holds are an auditor's."""
    return set(_grants(account, None).values_list("role__based_on", flat=True)) == {"auditor"}


def held(accounts: Iterable[int], at: datetime | None = None) -> dict[int, set[tuple[str, int | None]]]:
    """Return account → (role, environment; None: all) that it holds at a time (None: now), by the keys of both."""
    grants = AccessGrant.objects.in_effect(at).filter(account__in=set(accounts))
    found = defaultdict[int, set[tuple[str, int | None]]](set)
    for account, role, environment in grants.values_list("account", "role__key", "environment"):
        found[account].add((role, environment))
    return found


def roles_in(held: Iterable[tuple[str, int | None]], environment: int | None) -> set[str]:
    """Return the roles of what `held` returns of an account that count in an environment, or anywhere."""
    return {role for role, place in held if environment is None or place in (None, environment)}


def counting_in(held: Set[tuple[str, int | None]], *environments: int | None) -> set[str]:
    """Return the roles of what `held` returns of an account that count for a decision about each of these environments;
    None: about all of them, for which only a grant for all counts.
    """
    return {role for role, _place in held if all({(role, None), (role, place)} & held for place in environments)}


def counting_roles(account: Account, *environments: int | None) -> set[str]:
    """Return the roles of an account that count now for a decision about environments, as in `counting_in`."""
    return counting_in(held([account.pk])[account.pk], *environments)


def holders(role: str, environment: Environment | None = None, *, right: str = "") -> list[Account]:
    """Return the persons who hold a role now, in one environment or anywhere; service accounts never count.

    right: leave out those who do not have this right there, by whichever of their roles; without an environment both
    count for all of them.
    """
    grants = _there(AccessGrant.objects.in_effect().filter(account__kind=Account.Kind.PERSON), environment)
    if right and environment is None:
        grants = grants.filter(environment=None)
    found = Account.objects.filter(grants__in=grants.filter(role__key=role))
    if right:
        found = found.filter(grants__in=grants.filter(giving(right, environment)))
    return list(found.distinct().order_by("pk"))


def holders_based_on(role: str, environment: Environment | None = None) -> list[Account]:
    """Return the persons who hold a shipped role now, or one based on it, in one environment or anywhere."""
    grants = AccessGrant.objects.in_effect().filter(account__kind=Account.Kind.PERSON, role__based_on=role)
    return list(Account.objects.filter(grants__in=_there(grants, environment)).distinct().order_by("pk"))


def holders_with(right: str, environment: Environment | None = None) -> list[Account]:
    """Return the persons who have a right of a role, in one environment or in all."""
    grants = AccessGrant.objects.in_effect().filter(account__kind=Account.Kind.PERSON)
    grants = _there(grants, environment).filter(giving(right, environment))
    return list(Account.objects.filter(grants__in=grants).distinct().order_by("pk"))


def _there(grants: AccessGrantQuerySet, environment: Environment | None) -> AccessGrantQuerySet:
    return grants if environment is None else grants.filter(Q(environment=None) | Q(environment=environment))


def giving(right: str, environment: Environment | None) -> Q:
    """Return the condition on grants that give a role's right in an environment, or in all, as `may` asks it.

    Raises LookupError for the key of no permission.
    """
    roles = Q(role__based_on__in=roles_with(right)) | Q(role__named_permissions__contains=[right])
    return roles & (Q() if environment is not None or right in READING else Q(environment=None))


def roles_by_person(
    environment: Environment | None = None,
    at: datetime | None = None,
    *,
    right: str = "",
    without: Collection[int] = (),
    kept_out: Collection[str] = (),
    absences: Iterable[tuple[Account, Account]] = (),
    everywhere: bool = False,
    named: Collection[str] | None = None,
    deciding: Collection[str] = (),
) -> dict[str, set[str]]:
    """Return person key → the roles that the person holds at a time (None: now), in one environment or anywhere.

    A delegate, who is still one person, has the absent person's roles. right: count only persons with it there;
    without: grants left out; kept_out: persons left out, for whom no delegate counts either; absences: further ones
    (absent, delegate); everywhere: only roles held in all environments; named, deciding: as in
    `AccessGrantQuerySet.in_effect`.
    """
    grants = AccessGrant.objects.in_effect(at, named=named, deciding=deciding)
    grants = _there(grants.filter(account__kind=Account.Kind.PERSON).exclude(pk__in=list(without)), environment)
    if everywhere:
        grants = grants.filter(environment=None)
    if right:
        grants = grants.filter(account__in=grants.filter(giving(right, environment)).values("account"))
    found: dict[str, set[str]] = {}
    for grant in grants.select_related("account"):
        if grant.account.person_key not in kept_out:
            found.setdefault(grant.account.person_key, set()).add(grant.role_id)
    away = [
        (row.delegator, row.delegate)
        for row in Delegation.objects.in_effect(at).select_related("delegator", "delegate")
    ]
    attached = [(found.pop(absent.person_key, set()), delegate.person_key) for absent, delegate in [*away, *absences]]
    for roles, delegate in attached:
        if roles and delegate not in kept_out:
            found.setdefault(delegate, set()).update(roles)
    return found


def absent_persons_of(account: Account) -> list[Account]:
    """Return the persons whose delegate an account is now, but not the persons whose delegates those are."""
    return list(
        Account.objects.filter(delegations__in=Delegation.objects.in_effect().filter(delegate=account)).order_by("pk")
    )


def delegates_for(accounts: Iterable[Account]) -> list[Account]:
    """Return the persons who are now delegates of any of these accounts."""
    absences = Delegation.objects.in_effect().filter(delegator__in=list(accounts))
    return list(Account.objects.filter(delegations_received__in=absences).distinct().order_by("pk"))


# What counts as something else than a password, in Actor.method; a recovery code stands in for a lost device.
SECOND_FACTORS = frozenset({"totp", "webauthn", "recovery_codes", "mfa"})


class SecondFactorRequired(SignatureRequired):
    """The environment asks for a second factor, and the last proof of identity was a password alone."""

    kind = "second_factor_required"


def has_factor(actor: Actor) -> bool:
    """Tell whether an actor's last proof of identity includes a second factor; processes and services sign nothing."""
    return actor.kind != "person" or bool(SECOND_FACTORS & set(actor.method.split("+")))


def require_factor(environment: Environment | None) -> None:
    """Demand a second factor where the environment requires it; raises SecondFactorRequired with a sentence.

    Every operation that signs calls it for the rows that it is about (environments/signing.py).
    """
    if environment is not None and environment.requires_two_factor and not has_factor(current()):
        text = _("%(environment)s requires two-factor authentication for each signature.")
        raise SecondFactorRequired(text % {"environment": environment})


def require_factor_anywhere() -> None:
    """Ask for it where any environment demands it: for what counts in all of them; raises SecondFactorRequired."""
    require_factor(Environment.objects.filter(requires_two_factor=True).first())


class GrantBackend(ModelBackend):
    """Password sign-in for persons, and has_perm from grants: every role may look, none may edit rows."""

    def authenticate(self, request: Any, username: Any = None, password: Any = None, **rest: Any) -> Any:
        """Check a password; the name is normalised, so that full-width letters reach the same account."""
        if username is not None:
            asked = sign_in_name(str(username))
            known = Account.objects.filter(username__iexact=asked).values_list("username", flat=True).first()
            username = known or asked
        return super().authenticate(request, username=username, password=password, **rest)

    def user_can_authenticate(self, user: Any) -> bool:
        """Refuse deactivated accounts and service accounts, which use tokens."""
        return super().user_can_authenticate(user) and user.kind == Account.Kind.PERSON

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        """Answer the admin: `view_…` for everyone with a role that may look; add, change and delete never."""
        return perm.split(".")[-1].startswith("view_") and may(user_obj, "read")

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        """Answer the admin's index."""
        return may(user_obj, "read")

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        """Return nothing: permissions are checked one by one."""
        return set()
