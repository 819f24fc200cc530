"""The secret address under which a calendar program reads an application's windows (P1)."""

import hashlib
import secrets

from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from environments.models.account import Account
from environments.models.environment import Application


class CalendarFeed(models.Model):
    """One address; only the SHA-256 of its secret is kept, and it ends with the account that created it."""

    application = models.ForeignKey(Application, models.PROTECT, related_name="feeds", verbose_name=_("application"))
    account = models.ForeignKey(Account, models.PROTECT, related_name="feeds", verbose_name=_("account"))
    digest = models.CharField(_("digest"), max_length=64, unique=True)
    created_at = WrittenAtField(_("created"), auto_now_add=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)

    PERSONAL = True

    class Meta:
        verbose_name = _("calendar address")
        verbose_name_plural = _("calendar addresses")

    def __str__(self) -> str:
        return f"{self.application} …{self.digest[:6]}"

    @staticmethod
    def fresh() -> tuple[str, str]:
        """Return (secret, digest) of a new address; 256 random bits."""
        secret = secrets.token_urlsafe(32)
        return secret, CalendarFeed.digest_of(secret)

    @staticmethod
    def digest_of(secret: str) -> str:
        """Return the stored form of a secret."""
        return hashlib.sha256(secret.encode()).hexdigest()
