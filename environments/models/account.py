"""People and services that may act: the user model, and the tokens of service accounts."""

from __future__ import annotations

import hashlib
import secrets
import unicodedata
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _


def sign_in_name(text: str) -> str:
    """Return a sign-in name as it is compared and counted: NFKC, without invisible characters, case folded.

    Full-width letters, capitals and null bytes make no second name, neither of an account nor for the lock-out.
    """
    visible = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) not in ("Cc", "Cf"))
    return unicodedata.normalize("NFKC", visible.casefold()).strip()


class Account(AbstractUser):
    """A person or a service. Nobody is a superuser: that would pass every check before it is asked."""

    class Kind(models.TextChoices):
        PERSON = "person", _("Person")
        SERVICE = "service", _("Service account")

    kind = models.CharField(_("kind"), max_length=8, choices=Kind, default=Kind.PERSON)
    display_name = models.CharField(_("name as written"), max_length=100)
    affiliation = models.CharField(_("affiliation"), max_length=100, blank=True)
    job_title = models.CharField(_("job title"), max_length=100, blank=True)
    employee_id = models.CharField(_("employee id"), max_length=40, blank=True)
    git_addresses = models.JSONField(_("git addresses"), default=list, blank=True)
    telephone = models.CharField(_("telephone"), max_length=40, blank=True)
    language = models.CharField(_("language"), max_length=2, default="ja")
    quiet_from = models.TimeField(_("quiet from"), null=True, blank=True)
    quiet_until = models.TimeField(_("quiet until"), null=True, blank=True)
    must_change_password = models.BooleanField(_("must choose a new password"), default=False)
    pending_password = models.CharField(_("password that waits for a second person"), max_length=128, blank=True)
    pending_by: models.ForeignKey[Any, Any] = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("password proposed by")
    )
    factors_pending_by: models.ForeignKey[Any, Any] = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("removal of the second factor proposed by"),
    )

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        constraints = [
            models.CheckConstraint(condition=models.Q(is_superuser=False), name="account_no_superuser"),
            models.UniqueConstraint(Lower("username"), name="account_username_once"),
        ]

    def __str__(self) -> str:
        return self.display_name or self.username

    @property
    def person_key(self) -> str:
        """Return what counts as one person: the employee id where there is one, else the account.

        Ids that only look different (full width, case, spaces) are one.
        """
        employee = unicodedata.normalize("NFKC", self.employee_id).strip().casefold()
        return f"employee:{employee}" if employee else f"account:{self.pk}"

    @cached_property
    def accounts(self) -> frozenset[int]:
        """Return the ids of all accounts of this person."""
        if not self.employee_id.strip():
            return frozenset({self.pk})
        numbered = Account.objects.exclude(employee_id="").only("employee_id")
        return frozenset(row.pk for row in numbered if row.person_key == self.person_key)


class Token(models.Model):
    """A service account's key to the API: shown once, stored as SHA-256, dead with its owner."""

    account = models.ForeignKey(Account, models.PROTECT, related_name="tokens", verbose_name=_("account"))
    digest = models.CharField(_("digest"), max_length=64, unique=True)
    environments: models.ManyToManyField[Any, Any] = models.ManyToManyField(
        "environments.Environment", blank=True, verbose_name=_("environments")
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires"))
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)

    class Meta:
        verbose_name = _("token")
        verbose_name_plural = _("tokens")

    def __str__(self) -> str:
        return f"{self.account} …{self.digest[:6]}"

    @staticmethod
    def fresh() -> tuple[str, str]:
        """Return (secret, digest) of a new token; 256 random bits."""
        secret = "ringi_" + secrets.token_urlsafe(32)
        return secret, Token.digest_of(secret)

    @staticmethod
    def digest_of(secret: str) -> str:
        """Return the stored form of a token."""
        return hashlib.sha256(secret.encode()).hexdigest()
