"""provisioned_group:create, provisioned_group:edit, provisioned_group:delete: groups that the identity provider keeps
by SCIM. What their members may do follows in the same transaction.
"""

from collections.abc import Collection

from django.utils.translation import gettext as _

from audit.operation import NothingToDo, Operation, operation
from audit.plain import is_blank, plain
from audit.refusals import AlreadyExists, InvalidInput
from environments import access
from environments.models import KEPT_BY_PROVIDER, Account, ProvisionedGroup
from environments.operations.access.follow import follow


def create_group(*, name: str, external_id: str, members: Collection[int]) -> ProvisionedGroup:
    """Make a group. members: keys of accounts that the provider keeps. Raises NotPermitted, InvalidInput."""
    with operation("provisioned_group:create") as op:
        access.require("provision")
        group = ProvisionedGroup(name=_free(name, 0), external_id=external_id)
        group.save()
        op.about(group)
        _put_members(op, group, set(members), group.name)
    return group


def edit_group(group_id: int, *, name: str, external_id: str, add: Collection[int], remove: Collection[int]) -> None:
    """Give a group another name or other members; nothing is written where all is so. Calls at the same time do not
    bring back whom another one removes. Raises NotPermitted, InvalidInput.
    """
    with operation("provisioned_group:edit", (ProvisionedGroup, group_id)) as op:
        access.require("provision")
        group = op.get(ProvisionedGroup)
        earlier, name, wanted = group.name, name.strip(), (_members(group) | set(add)) - set(remove)
        if (group.name, group.external_id, _members(group)) == (name, external_id, wanted):
            raise NothingToDo
        group.name, group.external_id = _free(name, group.pk), external_id
        group.save()
        op.track(group, group.pk)  # the names are read below
        _put_members(op, group, wanted, earlier)


def delete_group(group_id: int) -> None:
    """Delete a group, and end what it gave. Raises NotPermitted, InvalidInput."""
    with operation("provisioned_group:delete", (ProvisionedGroup, group_id)) as op:
        access.require("provision")
        group = op.get(ProvisionedGroup)
        op.details["name"] = group.name
        accounts = _locked(set(group.members.values_list("pk", flat=True)))
        group.members.clear()
        follow(op, accounts, also=[group.name])
        ProvisionedGroup.objects.filter(pk=group.pk).delete()


def _members(group: ProvisionedGroup) -> set[int]:
    """Return the members that the provider knows: all but those that are for break-glass meanwhile."""
    return set(group.members.filter(KEPT_BY_PROVIDER).values_list("pk", flat=True))


def _put_members(op: Operation, group: ProvisionedGroup, wanted: set[int], earlier: str) -> None:
    """Write the members, and what follows for those who come and go, or for all of a group that had another name."""
    before = _members(group)
    accounts = _locked(before | wanted if group.name != earlier else before ^ wanted)
    kept = {account.pk for account in accounts if account.kept_by_provider}
    if unknown := wanted - before - kept:
        text = _("The identity provider keeps no account %(ids)s.")
        raise InvalidInput(text % {"ids": ", ".join(map(str, sorted(unknown)))})
    group.members.remove(*before - wanted)
    group.members.add(*wanted - before)
    op.details.update(added=sorted(wanted - before), removed=sorted(before - wanted))
    follow(op, accounts, also=[earlier])


def _locked(accounts: set[int]) -> list[Account]:
    rows = Account.objects.filter(pk__in=accounts).order_by("pk")
    return list(rows.select_for_update(of=("self",), no_key=True))


def _free(name: str, group: int) -> str:
    if is_blank(name):
        raise InvalidInput(_("A group needs a name."))
    name = plain(name, _("name"))
    if ProvisionedGroup.objects.exclude(pk=group).filter(name__iexact=name).exists():
        raise AlreadyExists(_("There is already a group “%(name)s”.") % {"name": name})
    return name
