"""代理: delegates for absent people (J1)."""

from datetime import datetime

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from environments.models.account import Account, enrolled


class DelegationQuerySet(models.QuerySet["Delegation"]):
    """Queries over delegates."""

    def in_effect(self, at: datetime | None = None) -> "DelegationQuerySet":
        """Keep those that count now, or at a time to come: confirmed, begun, not ended, not revoked, both accounts
        open, and a delegate who has enrolled.
        """
        return self.filter(
            enrolled("delegate"),
            confirmed_at__isnull=False,
            starts_at__lte=at or Now(),
            until__gt=at or Now(),
            revoked_at__isnull=True,
            delegator__is_active=True,
            delegate__is_active=True,
        )

    def lasting(self) -> "DelegationQuerySet":
        """Keep those that count now or could later: also those that begin later or wait to be confirmed."""
        return self.filter(until__gt=Now(), revoked_at__isnull=True)


class Delegation(models.Model):
    """One person's absence, and the delegate who approves in their own name instead. Never deleted, only ended."""

    delegator = models.ForeignKey(
        Account, models.PROTECT, related_name="delegations", verbose_name=_("person represented")
    )
    delegate = models.ForeignKey(
        Account, models.PROTECT, related_name="delegations_received", verbose_name=_("delegate")
    )
    starts_at = models.DateTimeField(_("from"))
    until = models.DateTimeField(_("until"))
    reason = models.CharField(_("reason"), max_length=300)
    requested_by = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("registered by"))
    confirmed_by = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("confirmed by")
    )
    confirmed_at = models.DateTimeField(_("confirmed"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    created_at = WrittenAtField(_("created"), auto_now_add=True)

    objects = DelegationQuerySet.as_manager()
    LOCK_ORDER = 4

    class Meta:
        verbose_name = _("delegation")
        verbose_name_plural = _("delegations")
        ordering = ["-starts_at"]
        constraints = [
            models.CheckConstraint(condition=~models.Q(delegator=models.F("delegate")), name="delegate_is_another"),
            models.CheckConstraint(condition=models.Q(until__gt=models.F("starts_at")), name="delegation_for_a_time"),
        ]

    def __str__(self) -> str:
        return f"{self.delegate} ← {self.delegator}"
