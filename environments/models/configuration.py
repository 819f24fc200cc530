"""Configuration of an application in an environment (E2): numbered versions, never changed once made."""

from collections.abc import Sequence

from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from audit.one_look import once_a_look
from environments.models.account import Account
from environments.models.environment import Application, Environment
from environments.secrets import decrypt, keyed_digest


class ConfigurationVersion(models.Model):
    """One version: plain values by key, and secrets encrypted at rest. `digest` covers both."""

    application = models.ForeignKey(
        Application, models.PROTECT, related_name="configurations", verbose_name=_("application")
    )
    environment = models.ForeignKey(
        Environment, models.PROTECT, related_name="configurations", verbose_name=_("environment")
    )
    number = models.PositiveIntegerField(_("number"))
    values = models.JSONField(_("values"), default=dict)
    encrypted = models.JSONField(_("secrets"), default=dict)
    digest = models.CharField(_("digest"), max_length=64)
    created_by = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("created by"))
    created_at = WrittenAtField(_("created"), auto_now_add=True)
    reason = models.CharField(_("reason"), max_length=300)

    class Meta:
        verbose_name = _("configuration")
        verbose_name_plural = _("configurations")
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["application", "environment", "number"], name="configuration_number_unique")
        ]

    def __str__(self) -> str:
        return f"{self.environment} #{self.number}"

    @staticmethod
    @once_a_look
    def read(*keys: int) -> "Sequence[ConfigurationVersion]":
        """Return the versions with these keys, the newest of each environment first."""
        return tuple(ConfigurationVersion.objects.filter(pk__in=keys))

    def opened(self) -> dict[str, str]:
        """Return key → value with secrets in clear; for workers only."""
        opened = {key: decrypt(text, self.aad(key)) for key, text in self.encrypted.items()}
        return {**self.values, **opened}

    def present_digest(self) -> str:
        """Return the digest of what the row holds now; it differs from `digest` when the row was altered."""
        opened = {key: decrypt(text, self.aad(key)) for key, text in self.encrypted.items()}
        return self.digest_of(self.values, opened)

    def aad(self, key: str) -> str:
        """Return what an encrypted value is bound to: its row, by application, environment and number, and its key."""
        return f"environments.ConfigurationVersion/{self.application_id}/{self.environment_id}/{self.number}/{key}"

    def secret_values(self) -> tuple[str, ...]:
        """Return the secrets in clear, to be masked in output."""
        return tuple(decrypt(text, self.aad(key)) for key, text in self.encrypted.items())

    @staticmethod
    def digest_of(values: dict[str, str], secrets: dict[str, str]) -> str:
        """Return a digest over all keys and values; secrets enter as keyed digests."""
        return keyed_digest({**{f"v:{k}": v for k, v in values.items()}, **{f"s:{k}": v for k, v in secrets.items()}})


class ConfigurationCheck(models.Model):
    """One connectivity check of the services that a version names: whether each could be reached, and how long it
    took.
    """

    version = models.ForeignKey(
        ConfigurationVersion, models.PROTECT, related_name="checks", verbose_name=_("configuration")
    )
    results = models.JSONField(_("results"))
    reachable = models.BooleanField(_("all reachable"))
    checked_by = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("connectivity checked by"))
    at = models.DateTimeField(_("time"))

    class Meta:
        verbose_name = _("connectivity check")
        verbose_name_plural = _("connectivity checks")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.version} · {self.at:%Y-%m-%d %H:%M}"
