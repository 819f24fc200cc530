"""The roles of the procedure in effect as rows; what each may do is code (environments.roles)."""

from contextvars import ContextVar
from typing import Any

from django.core.signals import request_finished, request_started
from django.db import models
from django.utils.translation import get_language, gettext_lazy as _

from environments.roles import DECIDING, OF_SERVICES, ROLE_CHOICES, ROLE_PERMISSIONS

# The rows by key, read once per request; None outside of one, where each question reads them.
_rows: ContextVar["dict[str, Role] | None"] = ContextVar("ringi_roles", default=None)


class Role(models.Model):
    """A role that people or services hold: a name on the permissions of a shipped role.

    named_permissions: what it may do because an approval rule or the final check names it. decides: a grant of it needs
    a second person, and counts only for a person who has enrolled. Grants count while it is in use, and may be given
    before, so that there are people when a procedure takes effect.
    """

    class State(models.TextChoices):
        PLANNED = "planned", _("planned")
        IN_USE = "in_use", _("in use")
        RETIRED = "retired", _("retired")

    key = models.CharField(_("key"), max_length=60, unique=True)
    based_on = models.CharField(_("based on"), max_length=20, choices=ROLE_CHOICES)
    names = models.JSONField(_("names"), default=dict)
    named_permissions = models.JSONField(_("permissions of named roles"), default=list)
    decides = models.BooleanField(_("needs a second person"), default=False)
    state = models.CharField(_("state"), max_length=8, choices=State, default=State.IN_USE)
    order = models.PositiveSmallIntegerField(_("order"), default=0)
    LOCK_ORDER = 159

    class Meta:
        verbose_name = _("role")
        verbose_name_plural = _("roles")
        ordering = ["order", "key"]

    def __str__(self) -> str:
        known = dict(ROLE_CHOICES)
        language = get_language() or "ja"
        return str(self.names.get(language) or known.get(self.key) or next(iter(self.names.values()), self.key))

    @property
    def permissions(self) -> frozenset[str]:
        """Return what it may do, beside what its level in an environment allows."""
        return ROLE_PERMISSIONS[self.based_on] | frozenset(self.named_permissions)

    @property
    def may_be_granted(self) -> bool:
        """Tell whether people may be given it: it is in use, or a draft of the procedure names it."""
        return self.state != self.State.RETIRED

    @property
    def is_service(self) -> bool:
        """Tell whether service accounts hold it, and people do not."""
        return self.based_on in OF_SERVICES


def roles() -> dict[str, Role]:
    """Return key → role of all that there are or were, in their order."""
    known = _rows.get()
    if known:
        return known
    found = {role.key: role for role in Role.objects.all()}
    if known is not None:
        known.update(found)
    return found


def role_names() -> dict[str, str]:
    """Return key → name of all roles in the reader's language."""
    return {key: str(role) for key, role in roles().items()}


def names_of(shipped_role: str) -> list[str]:
    """Return the names of the roles in use that have the permissions of a shipped role, in the reader's language."""
    return [str(role) for role in roles().values() if role.based_on == shipped_role and role.state == role.State.IN_USE]


def shipped() -> list[Role]:
    """Return the roles that Ringi has before any procedure names its own."""
    return [
        Role(key=key, based_on=key, decides=key in DECIDING, order=order)
        for order, (key, _name) in enumerate(ROLE_CHOICES)
    ]


def _begin(**_signal: Any) -> None:
    _rows.set({})


def _end(**_signal: Any) -> None:
    _rows.set(None)


request_started.connect(_begin, dispatch_uid="ringi_roles_begin")
request_finished.connect(_end, dispatch_uid="ringi_roles_end")
