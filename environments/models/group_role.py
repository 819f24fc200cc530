"""Roles that membership in a group at the identity provider gives."""

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from environments.models.account import Account
from environments.models.environment import Application, Environment
from environments.models.role import Role


class GroupRole(models.Model):
    """A role for the members of a group, as two administrators have decided. Never edited, only ended.

    group: its name as the provider states it. Each member has an access grant of their own that names this row.
    """

    group = models.CharField(_("group at the identity provider"), max_length=200)
    role = models.ForeignKey(
        Role,
        models.PROTECT,
        to_field="key",
        db_column="role",
        db_constraint=False,
        related_name="+",
        verbose_name=_("role"),
    )
    environment = models.ForeignKey(
        Environment, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("environment")
    )
    application = models.ForeignKey(
        Application, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("application")
    )
    application_group = models.SlugField(_("application group"), max_length=60, blank=True)
    reason = models.CharField(_("reason"), max_length=300)
    requested_by = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("requested by"))
    requested_at = WrittenAtField(_("requested"), auto_now_add=True)
    confirmed_by: models.ForeignKey[Any, Any] = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("confirmed by")
    )
    confirmed_at = models.DateTimeField(_("confirmed"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    # Before the grants that name it.
    LOCK_ORDER = 2

    class Meta:
        verbose_name = _("role of a group")
        verbose_name_plural = _("roles of groups")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(application__isnull=True) | models.Q(application_group=""),
                name="group_role_for_an_application_or_a_group",
            )
        ]

    def __str__(self) -> str:
        return f"{self.group} → {self.role}"
