"""Permission checks: `may(account, permission, environment)` reads the grants.

The application in question is that of the rows behind the open operation, or the one that `about` names; where there is
none, or several, only grants for all applications count.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Final

from django.db.models import Model, Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from audit.actor import Actor, current
from audit.one_look import once_a_look
from audit.operation import open_operation
from audit.refusals import GateNotPassed, NotPermitted, SignatureRequired
from environments.application_scope import only_application
from environments.models import AccessGrant, AccessRule, Account, Application, Delegation, Environment, enrolled
from environments.models.access_grant import AccessGrantQuerySet
from environments.roles import LEVELS, PERMISSION_LABELS, READING, in_environment, roles_with

# A role as an account holds it: its key, the key of its environment (None: all), those of its applications (None: all).
type Held = tuple[str, int | None, frozenset[int] | None]
# An application by its key; None for what belongs to none; AT_HAND for the one of the open operation or of `about`.
type AtHand = int | str | None
AT_HAND: Final = "at hand"
_about: ContextVar[tuple[int | None] | None] = ContextVar("ringi_about", default=None)


@contextmanager
def about(*rows: Model | None) -> Iterator[None]:
    """Ask for permissions about these rows: of their one application, whatever operation is open."""
    token = _about.set((only_application([row for row in rows if row is not None]),))
    try:
        yield
    finally:
        _about.reset(token)


def at_hand(application: AtHand = AT_HAND) -> int | None:
    """Return the application in question, by its key; None where it is none, or several."""
    if not isinstance(application, str):
        return application
    if (named := _about.get()) is not None:
        return named[0]
    op = open_operation()
    return only_application(list(op.rows.values())) if op is not None else None


def roles_of(account: Account, environment: Environment | None = None, application: AtHand = AT_HAND) -> set[str]:
    """Return the roles that an account holds now for an application, in one environment or anywhere."""
    place = environment.pk if environment is not None else None
    return roles_in(held_now(account.pk), place, at_hand(application))


def roles_anywhere(account: Account) -> set[str]:
    """Return the roles that an account holds now, wherever they count."""
    return set(AccessGrant.objects.in_effect().filter(account=account).values_list("role__key", flat=True))


def _grants(
    account: Account, environment: Environment | None, application: AtHand = AT_HAND, *, looking: bool = False
) -> AccessGrantQuerySet:
    grants, key = AccessGrant.objects.in_effect().filter(account=account), at_hand(application)
    return _there(grants if looking and key is None else grants.for_application(key), environment)


def may(
    account: Account | None, permission: str, environment: Environment | None = None, application: AtHand = AT_HAND
) -> bool:
    """Tell whether an account may do `permission` now; deny by default. A permission in an environment needs one.

    Scope is one: a role counts only in the environment and for the application that its own grant names, never by union
    of others. What is asked without an environment needs a grant for all of them, but for reading; what is asked
    without an application needs one for all of them, but for looking.
    """
    if account is None or not account.is_active or account.pk is None:
        return False
    return _give(_grants(account, environment, application, looking=permission == "read"), permission, environment)


def _give(grants: AccessGrantQuerySet, permission: str, environment: Environment | None) -> bool:
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


def require(
    permission: str, environment: Environment | None = None, *, instead: str = "", application: AtHand = AT_HAND
) -> Account:
    """Return the acting account if it may; raises NotPermitted with a sentence that names the missing right.

    instead: another permission that suffices. application: named where the operation has no row of it yet.
    """
    account = current_account()
    asked = [permission, *([instead] if instead else [])]
    if not any(may(account, one, environment, application) for one in asked):
        raise lacking(permission, environment, application=application)
    return account


def lacking(
    permission: str,
    environment: Environment | None = None,
    account: Account | None = None,
    application: AtHand = AT_HAND,
) -> NotPermitted:
    """Return the refusal that names a missing right of an account (None: the actor) in the reader's words."""
    key, account = at_hand(application), account or current_account()
    named = Application.objects.filter(pk=key).first() if key is not None else None
    # The application is what the person lacks only where they have the permission for others.
    limited = AccessGrant.objects.in_effect().filter(account=account).exclude(application=None, application_group="")
    elsewhere = _give(_there(limited, environment), permission, environment)
    if elsewhere and named is None:
        text = _("You have the permission “%(permission)s” for some applications only. This concerns all applications.")
    elif elsewhere:
        text = _("You do not have the permission “%(permission)s” for %(application)s.")
    elif environment is not None:
        text = _("You do not have the permission “%(permission)s” in %(environment)s.")
    else:
        text = _("You do not have the permission “%(permission)s”.")
    label = PERMISSION_LABELS.get(permission, permission)
    said = text % {"permission": label, "environment": environment, "application": named}
    return NotPermitted(f"{said} {undecided(account)}".strip())


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
    roles = AccessGrant.objects.in_effect().filter(account=account).values_list("role__based_on", flat=True)
    return set(roles) == {"auditor"}


def held(accounts: Iterable[int], at: datetime | None = None) -> dict[int, set[Held]]:
    """Return account → what it holds at a time (None: now), wherever it counts."""
    grants = AccessGrant.objects.in_effect(at).filter(account__in=set(accounts)).with_applications()
    found = defaultdict[int, set[Held]](set)
    for account, *grant in grants.values_list("account", "role__key", "environment", "applications"):
        found[account].add(as_held(*grant))
    return found


@once_a_look
def held_now(account: int) -> frozenset[Held]:
    """Return what an account holds now, as in `held`."""
    return frozenset(held([account])[account])


def as_held(role: str, environment: int | None, applications: Collection[int] | None) -> Held:
    """Return a grant as `held` does."""
    return role, environment, frozenset(applications) if applications is not None else None


def held_for(held: Iterable[Held], application: int | None) -> set[tuple[str, int | None]]:
    """Return (role, environment; None: all) of what `held` returns of an account that counts for an application (None:
    for all of them).
    """
    return {
        (role, place)
        for role, place, applications in held
        if applications is None or (application is not None and application in applications)
    }


def roles_in(held: Iterable[Held], environment: int | None, application: int | None) -> set[str]:
    """Return the roles of what `held` returns of an account that count for an application in an environment, or
    anywhere.
    """
    return {role for role, place in held_for(held, application) if environment is None or place in (None, environment)}


def counting_in(held: Iterable[Held], application: int | None, *environments: int | None) -> set[str]:
    """Return the roles of what `held` returns of an account that count for a decision about an application in each of
    these environments; None: about all, for which only a grant for all counts.
    """
    there = held_for(held, application)
    return {role for role, _place in there if all({(role, None), (role, place)} & there for place in environments)}


def counting_roles(account: Account, *environments: int | None, application: AtHand = AT_HAND) -> set[str]:
    """Return the roles of an account that count now for a decision, as in `counting_in`."""
    return counting_in(held_now(account.pk), at_hand(application), *environments)


def holders(
    role: str, environment: Environment | None = None, *, right: str = "", application: AtHand = AT_HAND
) -> list[Account]:
    """Return the persons who hold a role now for an application, in one environment or anywhere; service accounts never
    count.

    right: leave out those who do not have this right there, by whichever of their roles; without an environment both
    count for all of them.
    """
    grants = _of_persons(environment, application)
    if right and environment is None:
        grants = grants.filter(environment=None)
    found = Account.objects.filter(grants__in=grants.filter(role__key=role))
    if right:
        found = found.filter(grants__in=grants.filter(giving(right, environment)))
    return list(found.distinct().order_by("pk"))


def holders_based_on(
    role: str, environment: Environment | None = None, *, application: AtHand = AT_HAND
) -> list[Account]:
    """Return the persons who hold a shipped role now, or one based on it, in one environment or anywhere."""
    grants = _of_persons(environment, application).filter(role__based_on=role)
    return list(Account.objects.filter(grants__in=grants).distinct().order_by("pk"))


def holders_with(right: str, environment: Environment | None = None, *, application: AtHand = AT_HAND) -> list[Account]:
    """Return the persons who have a right of a role for an application, in one environment or in all."""
    grants = _of_persons(environment, application).filter(giving(right, environment))
    return list(Account.objects.filter(grants__in=grants).distinct().order_by("pk"))


def _of_persons(environment: Environment | None, application: AtHand) -> AccessGrantQuerySet:
    grants = AccessGrant.objects.in_effect().filter(account__kind=Account.Kind.PERSON)
    return _there(grants.for_application(at_hand(application)), environment)


def _there(grants: AccessGrantQuerySet, environment: Environment | None) -> AccessGrantQuerySet:
    return grants if environment is None else grants.filter(Q(environment=None) | Q(environment=environment))


def giving(right: str, environment: Environment | None) -> Q:
    """Return the condition on grants that give a right in an environment, or in all, as `may` asks it.

    Raises LookupError for the key of no permission.
    """
    if in_environment(right) and environment is not None:
        levels = [level for level, rights in LEVELS.items() if right in rights]
        return Q(role__in=AccessRule.objects.filter(environment=environment, level__in=levels).values("role"))
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
    application: AtHand = AT_HAND,
    named: Collection[str] | None = None,
    deciding: Collection[str] = (),
) -> dict[str, set[str]]:
    """Return person key → the roles that the person holds at a time (None: now) for an application, in one environment
    or anywhere.

    A delegate, who is still one person, has the absent person's roles. right: count only persons with it there;
    without: grants left out; kept_out: persons left out, for whom no delegate counts either; absences: further ones
    (absent, delegate); everywhere: only roles held in all environments; named, deciding: as in
    `AccessGrantQuerySet.in_effect`.
    """
    grants = AccessGrant.objects.in_effect(at, named=named, deciding=deciding).for_application(at_hand(application))
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


def changes_until(at: datetime) -> bool:
    """Tell whether a role or an absence begins or ends by a time to come."""
    grants = AccessGrant.objects.lasting().filter(Q(starts_at__gt=Now(), starts_at__lte=at) | Q(until__lte=at))
    absences = Delegation.objects.lasting().filter(Q(starts_at__gt=Now(), starts_at__lte=at) | Q(until__lte=at))
    return grants.exists() or absences.exists()


@once_a_look
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
SECOND_FACTORS = frozenset({"totp", "webauthn", "recovery_codes", "mfa", "oidc_mfa"})


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
