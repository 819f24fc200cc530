"""access:follow_groups: the grants of people follow their groups, which the identity provider states at each sign-in or
keeps here by SCIM.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.db.models import Q

from audit.clock import now
from audit.operation import Operation, operation
from environments.departures import check_departures
from environments.models import AccessGrant, Account, GroupRole, ProvisionedGroup
from environments.operations.access.grant import end_grants


@dataclass(frozen=True)
class _Groups:
    """The groups of an account as far as they are known. among: others of these names are known not to be; None: all
    others.
    """

    account: Account
    names: frozenset[str]
    among: frozenset[str] | None

    def gives(self) -> list[int]:
        """Return the rules that count, without those whose role the account has, or that a person has revoked from
        it.
        """
        if not self.account.is_active:
            return []
        given = AccessGrant.objects.filter(Q(until=None) | Q(revoked_at__isnull=False), account=self.account)
        rules = GroupRole.objects.filter(group__in=self.names, confirmed_at__isnull=False, ended_at=None)
        held = given.filter(group_role__isnull=False).values("group_role")
        return list(rules.exclude(pk__in=held).values_list("pk", flat=True))

    def ends(self) -> list[int]:
        """Return the grants that a group gave of which the account is no member any more."""
        given = AccessGrant.objects.lasting().filter(account=self.account, group_role__isnull=False)
        if self.among is not None:
            given = given.filter(group_role__group__in=self.among)
        return list(given.exclude(group_role__group__in=self.names).values_list("pk", flat=True))


def _groups_of(account: Account, stated: Collection[str] | None, also: Collection[str] = ()) -> _Groups:
    """Return the groups of an account. stated: by the provider at a sign-in; None: nothing was. also: names that groups
    here had until now. For an account that is kept by SCIM, groups here have the members that SCIM says, whatever is
    stated.
    """
    if not account.provisioned:
        return _Groups(account, frozenset(stated or ()), None if stated is not None else frozenset())
    here = frozenset(ProvisionedGroup.objects.values_list("name", flat=True))
    member = frozenset(account.provisioned_groups.values_list("name", flat=True))
    if stated is None:
        return _Groups(account, member, here | frozenset(also))
    return _Groups(account, member | (frozenset(stated) - here), None)


def follow_groups(account_id: int, stated: Collection[str] | None) -> None:
    """Grant what the groups of an account give and end what they no longer give; nothing is written where all is so.
    Never refused: who has left a group loses its role at once.
    """
    groups = _groups_of(Account.objects.get(pk=account_id), stated)
    if groups.gives() or groups.ends():
        with operation("access:follow_groups", (Account, account_id)) as op:
            follow(op, [op.get(Account)], stated)


def follow_members(group: str) -> None:
    """Give the members of a group that is kept by SCIM what a rule gives from now on."""
    for account in Account.objects.filter(provisioned_groups__name=group, is_active=True).order_by("pk"):
        follow_groups(account.pk, None)


def follow(
    op: Operation, accounts: Iterable[Account], stated: Collection[str] | None = None, also: Collection[str] = ()
) -> None:
    """Write what `follow_groups` says, inside an open operation that has locked the accounts.

    An administrator who invited a person could be that person at the provider too, and an account that SCIM has made
    nobody here has seen: as with a password, a deciding role then waits for another administrator. So does that of a
    member who requested or confirmed the rule: nobody grants access to themselves.
    """
    every = [_groups_of(account, stated, also) for account in accounts]
    rules = {groups.account.pk: groups.gives() for groups in every}
    ending = [grant for groups in every for grant in groups.ends()]
    asked = GroupRole.objects.filter(pk__in={pk for given in rules.values() for pk in given}).order_by("pk")
    locked = {rule.pk: rule for rule in asked.select_for_update(of=("self",), no_key=True).select_related("role")}
    check_departures(op, ending, refuses=False)
    end_grants(op, ending)
    for groups in every:
        account = groups.account
        for rule in (locked[pk] for pk in sorted(rules[account.pk])):
            own, first = _first(rule, account)
            waits = rule.role.decides and (own or first is not None or account.provisioned)
            if rule.ended_at is None:
                grant = AccessGrant.objects.create(
                    account=account,
                    role=rule.role,
                    environment=rule.environment,
                    application=rule.application,
                    application_group=rule.application_group,
                    group_role=rule,
                    starts_at=now(),
                    granted_by=first if rule.role.decides else None,
                    confirmed_at=None if waits else now(),
                    reason=rule.reason,
                )
                op.add_event("access:grant", grant, role=rule.role_id, group=rule.group)


def _first(rule: GroupRole, account: Account) -> tuple[bool, Account | None]:
    """Return whether a person decided the rule, and who counts as the first to give them its role: who decided it with
    them, or else who invited them; None: a first one is still asked for.
    """
    parties = [party for party in (rule.requested_by, rule.confirmed_by) if party is not None]
    others = [party for party in parties if not account.is_among(party.identities)]
    if len(others) == len(parties):
        return False, account.invited_by
    return True, next(iter(others), None)
