"""Groups of the identity provider that it keeps here by SCIM."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from environments.models.account import Account


class ProvisionedGroup(models.Model):
    """A group with its members. By its name, the roles of groups give them roles."""

    name = models.CharField(_("name"), max_length=200)
    external_id = models.CharField(_("external ID"), max_length=255, blank=True)
    members: models.ManyToManyField[Any, Any] = models.ManyToManyField(
        Account, blank=True, related_name="provisioned_groups", verbose_name=_("members")
    )
    created_at = WrittenAtField(_("created"), auto_now_add=True)
    # Before the accounts of its members, whose grants follow.
    LOCK_ORDER = 0

    class Meta:
        verbose_name = _("provisioned group")
        verbose_name_plural = _("provisioned groups")
        constraints = [models.UniqueConstraint(Lower("name"), name="provisioned_group_once")]

    def __str__(self) -> str:
        return self.name
