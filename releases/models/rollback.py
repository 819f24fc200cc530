"""Rollbacks: the alarm, the decision, the execution, and the report (chapter 7)."""

from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from audit.snapshots import Snapshots
from environments.models import Account
from releases.models.deployment import Deployment
from releases.state_machines.rollback import RollbackMachine


class Rollback(RollbackMachine):
    """One rollback of one deployment. `facts` holds what was measured: trigger, rows, digests before and after."""

    deployment = models.ForeignKey(Deployment, models.PROTECT, related_name="rollbacks", verbose_name=_("deployment"))
    cause = models.CharField(_("cause"), max_length=60)
    critical = models.BooleanField(_("critical"), default=True)
    note = models.TextField(_("note"), blank=True)
    raised_by = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("raised by")
    )
    raised_at = models.DateTimeField(_("raised"))
    impact = models.TextField(_("impact"), blank=True)
    method = models.TextField(_("method"), blank=True)
    timing = models.TextField(_("timing"), blank=True)
    assessed_by = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("assessed by")
    )
    authorised_by = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("authorised by")
    )
    facts = models.JSONField(_("facts"), default=dict)
    started_at = models.DateTimeField(_("began"), null=True, blank=True)
    restored_at = models.DateTimeField(_("restored"), null=True, blank=True)
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)
    history: Any = Snapshots()

    LOCK_ORDER = 40  # as steps and decision requests: none before another, since their deployment guards them

    class Meta:
        verbose_name = _("rollback")
        verbose_name_plural = _("rollbacks")
        ordering = ["-raised_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["deployment"], condition=~Q(state__in=["closed", "dismissed"]), name="rollback_one_open"
            )
        ]

    def __str__(self) -> str:
        return str(self.deployment)

    @property
    def outage_began_at(self) -> datetime:
        """When the outage of the alarm began: the first measurement that failed, else the first step of the deployment
        that failed, where that is known; else the alarm itself.
        """
        known = self.facts.get("failing_since")
        return min(self.raised_at, datetime.fromisoformat(known)) if known else self.raised_at
