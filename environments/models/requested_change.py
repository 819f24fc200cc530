"""Changes that need two persons, until the second one has confirmed or rejected them."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from environments.models.account import Account
from environments.models.environment import Application, DeploymentTarget, Environment


class RequestedChange(models.Model):
    """New values of one row, as the first person requested them. Never edited, decided once.

    event: the operation that the first person asked for (`target:set_options`). before, after: column → value as JSON;
    before is empty where the row is yet to be made.
    """

    EVENTS = (
        ("target:create", _("Register deployment target")),
        ("target:set_options", _("Change folder and commands")),
        ("target:set_outbound_hosts", _("Set allowed outbound hosts")),
        ("target:set_monitoring", _("Set metric source")),
        ("target:retire", _("Retire deployment target")),
        ("target:reinstate", _("Reinstate deployment target")),
        ("account:create", _("Create account")),
        ("account:edit", _("Change account")),
        ("account:edit_own", _("Edit contact settings")),
    )

    event = models.CharField(_("operation"), max_length=40, choices=EVENTS)
    target = models.ForeignKey(
        DeploymentTarget,
        models.PROTECT,
        null=True,
        related_name="requested_changes",
        verbose_name=_("deployment target"),
    )
    account = models.ForeignKey(
        Account, models.PROTECT, null=True, related_name="requested_changes", verbose_name=_("account")
    )
    environment = models.ForeignKey(
        Environment, models.PROTECT, null=True, related_name="+", verbose_name=_("environment")
    )
    application = models.ForeignKey(
        Application, models.PROTECT, null=True, related_name="+", verbose_name=_("application")
    )
    before = models.JSONField(_("before"))
    after = models.JSONField(_("after"))
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    requested_by = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("requested by"))
    requested_at = WrittenAtField(_("requested"), auto_now_add=True)
    decided_by = models.ForeignKey(
        Account, models.PROTECT, null=True, related_name="+", verbose_name=_("confirmed or rejected by")
    )
    decided_at = models.DateTimeField(_("confirmed or rejected at"), null=True)
    confirmed = models.BooleanField(_("confirmation given"), default=False)

    class Meta:
        verbose_name = _("requested change")
        verbose_name_plural = _("requested changes")

    def __str__(self) -> str:
        return str(self.target or self.account or self.environment)
