"""Requests to erase the personal data of an account, until a second person has confirmed or rejected them."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from environments.models import Account


class Erasure(models.Model):
    """One request: decided once, never edited. Only the database function that it names destroys keys
    (releases.operations.erasure.function).
    """

    account = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("account"))
    reason = models.CharField(_("reason"), max_length=300)
    requested_by = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("requested by"))
    requested_person = models.TextField(_("requester identity"))
    requested_at = WrittenAtField(_("requested"), auto_now_add=True)
    confirmed_by = models.ForeignKey(
        Account, models.PROTECT, null=True, related_name="+", verbose_name=_("confirmed by")
    )
    confirmed_person = models.TextField(_("confirmer identity"), blank=True, default="")
    confirmed_at = models.DateTimeField(_("confirmed"), null=True)
    rejected_at = models.DateTimeField(_("rejected"), null=True)

    # What is destroyed concerns the evidence of production.
    concerns_tier = "production"
    LOCK_ORDER = 2

    class Meta:
        verbose_name = _("erasure")
        verbose_name_plural = _("erasures")
        constraints = [
            models.CheckConstraint(
                condition=Q(confirmed_at=None, confirmed_person="")
                | Q(confirmed_at__isnull=False, rejected_at=None)
                & ~Q(confirmed_person="")
                & ~Q(confirmed_person=F("requested_person")),
                name="erasure_two_persons",
            ),
            models.UniqueConstraint(
                fields=["account"], condition=Q(confirmed_at=None, rejected_at=None), name="erasure_requested_once"
            ),
        ]

    def __str__(self) -> str:
        return str(self.account)

    @staticmethod
    def open_of(account_id: int) -> "Erasure | None":
        """Return the request about an account that nobody has decided; None where there is none."""
        return Erasure.objects.filter(account=account_id, confirmed_at=None, rejected_at=None).first()
