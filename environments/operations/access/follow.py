"""access:follow_groups: the grants of a person follow the groups that the identity provider states at each sign-in."""

from collections.abc import Collection

from django.db.models import Q, QuerySet

from audit.clock import now
from audit.operation import operation
from environments.departures import check_departures
from environments.models import AccessGrant, Account, GroupRole
from environments.operations.access.grant import end_grants


def follow_groups(account_id: int, groups: Collection[str]) -> None:
    """Grant what the groups of an account give and end what they no longer give; nothing is written where all is so.

    Never refused: who has left a group loses its role at once. An administrator who invited a person could be that
    person at the provider too: as with a password, a deciding role then waits for another administrator.
    """
    if _to_grant(account_id, groups).exists() or _to_end(account_id, groups):
        with operation("access:follow_groups", (Account, account_id)) as op:
            account = op.get(Account)
            rules = list(_to_grant(account_id, groups).select_for_update(of=("self",), no_key=True))
            ending = _to_end(account_id, groups)
            check_departures(op, ending, refuses=False)
            end_grants(op, ending)
            for rule in rules:
                grant = AccessGrant.objects.create(
                    account=account,
                    role=rule.role,
                    environment=rule.environment,
                    application=rule.application,
                    application_group=rule.application_group,
                    group_role=rule,
                    starts_at=now(),
                    granted_by=account.invited_by if rule.role.decides else None,
                    confirmed_at=None if rule.role.decides and account.invited_by is not None else now(),
                    reason=rule.reason,
                )
                op.add_event("access:grant", grant, role=rule.role_id, group=rule.group)


def _to_grant(account_id: int, groups: Collection[str]) -> QuerySet[GroupRole]:
    """Return the rules of these groups that count, without those whose role the account has, or that a person has
    revoked from it.
    """
    given = AccessGrant.objects.filter(Q(until=None) | Q(revoked_at__isnull=False), account=account_id)
    rules = GroupRole.objects.filter(group__in=groups, confirmed_at__isnull=False, ended_at=None)
    held = given.filter(group_role__isnull=False).values("group_role")
    return rules.exclude(pk__in=held).select_related("role").order_by("pk")


def _to_end(account_id: int, groups: Collection[str]) -> list[int]:
    """Return the grants that a group gave of which the account is no member any more."""
    given = AccessGrant.objects.lasting().filter(account=account_id, group_role__isnull=False)
    return list(given.exclude(group_role__group__in=groups).values_list("pk", flat=True))
