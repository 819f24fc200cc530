"""group_role:request, group_role:confirm, group_role:end: which role the members of a group have."""

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.plain import is_blank, plain
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.departures import check_departures
from environments.models import AccessGrant, Environment, GroupRole, Role
from environments.operations.access.follow import follow_members
from environments.operations.access.grant import end_grants, scope_of


def request_group_role(
    *,
    group: str,
    role: str,
    reason: str,
    environment_id: int | None = None,
    application_id: int | None = None,
    application_group: str = "",
) -> GroupRole:
    """Ask that the members of a group have a role. It counts once another administrator has confirmed it. Raises
    NotPermitted, InvalidInput.
    """
    with operation("group_role:request", reason=reason, sign=True) as op:
        who = access.require("manage_access", application=None)
        held = Role.objects.filter(key=role).first()
        if held is None or not held.may_be_granted or held.is_service:
            raise InvalidInput(_("The selected role does not exist."))
        environment = Environment.objects.filter(pk=environment_id).first() if environment_id else None
        if environment_id and environment is None:
            raise InvalidInput(_("The selected environment does not exist."))
        if is_blank(group) or is_blank(reason):
            raise InvalidInput(_("A role of a group needs the name of the group and a reason."))
        made = GroupRole.objects.create(
            group=plain(group, _("group")),
            role=held,
            environment=environment,
            reason=reason.strip(),
            requested_by=who,
            **scope_of(application_id, application_group),
        )
        op.signature()
        op.about(made, group=made.group, role=role)
    return made


def confirm_group_role(group_role_id: int, *, reason: str = "") -> GroupRole:
    """Confirm it as a second administrator. Members get the role when they sign in next; those of a group that is kept
    by SCIM have it at once. Raises NotPermitted, NotPossible.
    """
    with operation("group_role:confirm", (GroupRole, group_role_id), reason=reason, sign=True) as op:
        second = access.require("manage_access", application=None)
        row = op.get(GroupRole)
        if row.confirmed_at is not None or row.ended_at is not None:
            raise NotPossible(_("This role of a group is not awaiting confirmation."))
        if second.is_among(row.requested_by.identities):
            raise NotPermitted(_("A second person must confirm this."))
        access.require_still(row.requested_by, "manage_access")
        row.confirmed_by, row.confirmed_at = second, now()
        op.signature()
    follow_members(row.group)
    return row


def end_group_role(group_role_id: int, *, reason: str) -> GroupRole:
    """End it, and the grants that it gave. Raises NotPermitted, InvalidInput, NotPossible, and GateNotPassed when a
    rule could not be met any more.
    """
    with operation("group_role:end", (GroupRole, group_role_id), reason=reason, sign=True) as op:
        access.require("manage_access", application=None)
        row = op.get(GroupRole)
        if row.ended_at is not None:
            raise NotPossible(_("This role of a group has ended."))
        op.require_reason()
        given = list(AccessGrant.objects.lasting().filter(group_role=row).values_list("pk", flat=True))
        check_departures(op, given, refuses=True)
        row.ended_at = now()
        end_grants(op, given)
        op.signature()
    return row
