"""Access requests for some hours, and the periodic review of every grant (E3)."""

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from environments.models.access_grant import AccessGrant
from environments.models.account import Account
from environments.models.environment import Application, Environment
from environments.models.role import Role


class AccessRequest(models.Model):
    """Somebody asks for a role in an environment for some hours; somebody else grants or rejects it."""

    account = models.ForeignKey(Account, models.PROTECT, related_name="access_requests", verbose_name=_("account"))
    role = models.ForeignKey(
        Role,
        models.PROTECT,
        to_field="key",
        db_column="role",
        db_constraint=False,
        related_name="+",
        verbose_name=_("role"),
    )
    environment = models.ForeignKey(Environment, models.PROTECT, related_name="+", verbose_name=_("environment"))
    application = models.ForeignKey(
        Application, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("application")
    )
    hours = models.PositiveSmallIntegerField(_("duration in hours"))
    reason = models.CharField(_("reason"), max_length=300)
    requested_at = WrittenAtField(_("requested"), auto_now_add=True)
    decided_by = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("decided by")
    )
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)
    grant = models.OneToOneField(
        AccessGrant, models.PROTECT, null=True, blank=True, related_name="request", verbose_name=_("grant")
    )
    answer = models.CharField(_("answer"), max_length=300, blank=True)

    LOCK_ORDER = 7

    class Meta:
        verbose_name = _("access request")
        verbose_name_plural = _("access requests")
        ordering = ["-requested_at"]

    def __str__(self) -> str:
        return f"{self.account} · {self.role} · {self.place}"

    @property
    def place(self) -> str:
        """Return where it is asked for, in words."""
        return " · ".join(str(part) for part in (self.environment, self.application) if part)


class AccessReview(models.Model):
    """One review: by its due date every grant in effect when it opened is confirmed or revoked."""

    opened_by = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("opened by"))
    opened_at = WrittenAtField(_("opened"), auto_now_add=True)
    due_at = models.DateTimeField(_("due"))
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=300)

    LOCK_ORDER = 8

    class Meta:
        verbose_name = _("access review")
        verbose_name_plural = _("access reviews")
        ordering = ["-opened_at"]

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {self.pk}"


class AccessReviewItemQuerySet(models.QuerySet["AccessReviewItem"]):
    """Queries over reviewed grants."""

    def undecided(self) -> "AccessReviewItemQuerySet":
        """Keep those that still need a decision: not decided, and their grant has not ended by itself."""
        return self.filter(result="", grant__in=AccessGrant.objects.lasting())


class AccessReviewItem(models.Model):
    """One grant in a review and its decision."""

    class Result(models.TextChoices):
        KEEP = "keep", _("Still needed")
        REVOKE = "revoke", _("Revoked")

    review = models.ForeignKey(AccessReview, models.PROTECT, related_name="items", verbose_name=_("review"))
    grant = models.ForeignKey(AccessGrant, models.PROTECT, related_name="reviews", verbose_name=_("grant"))
    result = models.CharField(_("result"), max_length=8, choices=Result, blank=True)
    decided_by = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("decided by")
    )
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)
    note = models.CharField(_("note"), max_length=300, blank=True)
    objects: Any = AccessReviewItemQuerySet.as_manager()

    LOCK_ORDER = 9

    class Meta:
        verbose_name = _("reviewed grant")
        verbose_name_plural = _("reviewed grants")
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["review", "grant"], name="review_item_once")]

    def __str__(self) -> str:
        return str(self.grant)
