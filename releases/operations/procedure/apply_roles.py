"""Brings the roles in line with the procedures, inside the operation that stores one or puts it into effect."""

from collections.abc import Iterable

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from environments.language import listed
from environments.models import AccessGrant, Role
from environments.models.access_grant import of_one_person
from environments.models.role import role_names
from environments.roles import ALWAYS, DECIDING, ROLE_PERMISSIONS
from releases.models import Procedure, Release
from releases.procedures.document import Procedure as Content


def _of_one_person() -> QuerySet[AccessGrant]:
    return AccessGrant.objects.filter(of_one_person())


def unconfirmed_by(content: Content) -> list[int]:
    """Return the grants that a second person must confirm once a procedure is in effect, because it lets their roles
    decide.
    """
    decide = [row.key for row in content.roles if row.shipped in DECIDING or row.key in content.named_permissions()]
    return list(_of_one_person().filter(role__key__in=decide).values_list("pk", flat=True))


def ending_roles(content: Content, kept: Iterable[Release]) -> list[str]:
    """Return why open releases could not be completed under a procedure without roles that their own versions name, a
    sentence a release; none for a further procedure, which ends no roles. kept: the releases that stay under their
    versions.
    """
    if content.key:
        return []
    there, names, found = {*(row.key for row in content.roles), *ALWAYS}, role_names(), []
    text = _(
        "%(release)s stays under a version whose rules name roles that end: %(roles)s. Move the release to the new "
        "version, or keep the roles."
    )
    for release in kept:
        assert release.procedure is not None
        followed = release.procedure.document
        named = {row.key for row in followed.roles} & followed.named_permissions().keys()
        if ending := sorted(named - there):
            found.append(text % {"release": release, "roles": listed(names.get(key, key) for key in ending)})
    return found


def apply_roles(content: Content) -> None:
    """Create or update the roles that a procedure names, inside an open operation or a migration; the others are no
    longer in use. A role that begins to decide counts only for those whose grant a second person has confirmed.

    content: of the organisation's procedure; what further ones in effect name a role for counts as well, and so does
    the version that an open release stays under, whose rules its people still have to meet.
    """
    there, named = Role.objects.in_bulk(field_name="key"), content.named_permissions()
    further = Q(state="in_effect") & ~Q(key="")
    followed = Release.objects.filter(state__in=Release.FIXED).values("procedure")
    for procedure in Procedure.objects.filter(further | Q(pk__in=followed)):
        for key, given in procedure.document.named_permissions().items():
            named[key] = named.get(key, frozenset()) | given
    for order, row in enumerate(content.roles, 1):
        permissions = sorted(named.get(row.key, frozenset()) - ROLE_PERMISSIONS[row.shipped])
        values = {
            "based_on": row.shipped,
            "names": {"ja": row.ja, "en": row.en},
            "named_permissions": permissions,
            "decides": row.shipped in DECIDING or row.key in named,
            "state": Role.State.IN_USE,
            "order": order,
        }
        role = there.get(row.key) or Role(key=row.key)
        if row.key not in there or any(getattr(role, name) != value for name, value in values.items()):
            for name, value in values.items():
                setattr(role, name, value)
            role.save()
        for grant in _of_one_person().filter(role=role) if values["decides"] else ():
            grant.confirmed_by, grant.confirmed_at = None, None
            grant.save()
    for role in there.values():
        if role.state == Role.State.IN_USE and role.key not in (*(row.key for row in content.roles), *ALWAYS):
            role.state = Role.State.RETIRED
            role.save()


def plan_roles(content: Content) -> None:
    """Make the roles that a draft names beside those that there are known, so that people can be given them; inside an
    open operation.
    """
    there = Role.objects.in_bulk(field_name="key")
    for order, row in enumerate(content.roles, 1):
        role = there.get(row.key)
        if role is None or role.state == Role.State.RETIRED:
            role = role or Role(key=row.key)
            role.based_on, role.names, role.order = row.shipped, {"ja": row.ja, "en": row.en}, order
            role.named_permissions, role.decides, role.state = [], True, Role.State.PLANNED
            role.save()
