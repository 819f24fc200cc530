"""The access matrix as rows, and the grants that give people their roles (E3)."""

from datetime import datetime

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from audit.snapshots import Snapshots
from environments.models.account import Account, enrolled
from environments.models.environment import Environment
from environments.roles import DECIDING, LEVEL_CHOICES, ROLE_CHOICES


class AccessRule(models.Model):
    """One cell of the access matrix: role × environment → level. No row means no."""

    role = models.CharField(_("role"), max_length=20, choices=ROLE_CHOICES)
    environment = models.ForeignKey(
        Environment, models.PROTECT, related_name="access_rules", verbose_name=_("environment")
    )
    level = models.CharField(_("level"), max_length=20, choices=LEVEL_CHOICES)
    history = Snapshots()
    LOCK_ORDER = 160

    class Meta:
        verbose_name = _("access rule")
        verbose_name_plural = _("access matrix")
        constraints = [models.UniqueConstraint(fields=["role", "environment"], name="access_rule_one_per_cell")]

    def __str__(self) -> str:
        return f"{self.get_role_display()} · {self.environment} · {self.get_level_display()}"


class AccessGrantQuerySet(models.QuerySet["AccessGrant"]):
    """Queries over grants."""

    def in_effect(self, at: datetime | None = None) -> "AccessGrantQuerySet":
        """Keep the grants that count now, or at a time to come: begun, not ended, not revoked, confirmed where two are
        needed; a deciding role only of a person who has enrolled.
        """
        return self.filter(
            ~models.Q(role__in=DECIDING) | enrolled("account"),
            models.Q(until__isnull=True) | models.Q(until__gt=at or Now()),
            starts_at__lte=at or Now(),
            revoked_at__isnull=True,
            confirmed_at__isnull=False,
            account__is_active=True,
        )

    def lasting(self) -> "AccessGrantQuerySet":
        """Keep the grants that count now or could later: also those that begin later or wait for a second person."""
        return self.filter(
            models.Q(until__isnull=True) | models.Q(until__gt=Now()), revoked_at__isnull=True, account__is_active=True
        )


class AccessGrant(models.Model):
    """A role given to an account, in one environment or all, for a time, with a reason. Never deleted, only ended."""

    account = models.ForeignKey(Account, models.PROTECT, related_name="grants", verbose_name=_("account"))
    role = models.CharField(_("role"), max_length=20, choices=ROLE_CHOICES)
    environment = models.ForeignKey(
        Environment, models.PROTECT, null=True, blank=True, related_name="grants", verbose_name=_("environment")
    )
    starts_at = models.DateTimeField(_("from"))
    until = models.DateTimeField(_("until"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=300)
    granted_by = models.ForeignKey(
        Account, models.PROTECT, null=True, related_name="grants_given", verbose_name=_("granted by")
    )
    confirmed_by = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="grants_confirmed", verbose_name=_("confirmed by")
    )
    confirmed_at = models.DateTimeField(_("confirmed"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    created_at = WrittenAtField(_("created"), auto_now_add=True)
    history = Snapshots()

    objects = AccessGrantQuerySet.as_manager()
    LOCK_ORDER = 3

    class Meta:
        verbose_name = _("grant")
        verbose_name_plural = _("grants")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(granted_by__isnull=True) | ~models.Q(granted_by=models.F("account")),
                name="grant_not_to_oneself",
            )
        ]

    def __str__(self) -> str:
        return f"{self.account} · {self.get_role_display()}"
