"""Deployed versions: one pointer per application and environment, with its digests."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.clock import now
from audit.one_look import once_a_look
from environments.language import labelled
from environments.models import Account, Application, ConfigurationVersion, Environment
from releases.models.artefact import Artefact
from releases.models.release import Release


class DeployedVersion(models.Model):
    """A deployed version; it changes only when a deployment is verified, rolled back or resolved, or a version is
    registered.
    """

    REQUESTED = "requested"

    application = models.ForeignKey(
        Application, models.PROTECT, related_name="deployed_versions", verbose_name=_("application")
    )
    environment = models.ForeignKey(
        Environment, models.PROTECT, related_name="deployed_versions", verbose_name=_("environment")
    )
    release = models.ForeignKey(Release, models.PROTECT, null=True, related_name="+", verbose_name=_("release"))
    configuration = models.ForeignKey(
        ConfigurationVersion, models.PROTECT, null=True, related_name="+", verbose_name=_("configuration")
    )
    artefact = models.ForeignKey(Artefact, models.PROTECT, null=True, related_name="+", verbose_name=_("artefact"))
    code = models.CharField(_("code digest"), max_length=64, blank=True)
    configuration_digest = models.CharField(_("configuration digest"), max_length=64, blank=True)
    data = models.CharField(_("data digest"), max_length=64, blank=True)
    schema = models.CharField(_("digest of the database schema"), max_length=64, blank=True)
    unknown = models.BooleanField(_("unknown"), default=False)
    since = models.DateTimeField(_("since"))
    requested_by = models.ForeignKey(
        Account, models.PROTECT, null=True, related_name="+", verbose_name=_("requested by")
    )
    basis = models.CharField(_("basis"), max_length=20)
    LOCK_ORDER = 56

    class Meta:
        verbose_name = _("deployed version")
        verbose_name_plural = _("deployed version")
        constraints = [
            models.UniqueConstraint(fields=["application", "environment"], name="deployed_version_one_per_place")
        ]

    @classmethod
    def record(
        cls, application: Application, environment: Environment, measured: Mapping[str, str], **columns: Any
    ) -> "DeployedVersion":
        """Point from now on to what runs in an environment of an application, with the digests measured there."""
        digests = {name: measured.get(name, "") for name in ("code", "data", "schema")}
        digests["configuration_digest"] = measured.get("configuration", "")
        return cls.objects.update_or_create(
            application=application,
            environment=environment,
            defaults={**digests, "artefact": None, "unknown": False, "since": now(), **columns},
        )[0]

    @staticmethod
    @once_a_look
    def of(*applications: int) -> "Sequence[DeployedVersion]":
        """Return the pointers of applications (their keys) in the order of promotion, requested ones too."""
        rows = DeployedVersion.objects.filter(application__in=applications).order_by("environment__order")
        return tuple(rows.select_related("release", "environment", "configuration"))

    @classmethod
    def established(cls, application: Application, environment: Environment) -> "DeployedVersion | None":
        """Return the pointer that counts; an unconfirmed request does not."""
        return next((row for row in cls.of(application.pk) if row.counts and row.environment == environment), None)

    @classmethod
    def in_production(cls, application: Application) -> Release | None:
        """Return the release that is deployed in production: in the last of several environments, which gets a release
        after the others; None for nothing. An unconfirmed one does not count.
        """
        last = Environment.Tier.PRODUCTION
        rows = (row for row in reversed(cls.of(application.pk)) if row.counts and row.environment.tier == last)
        return next((row.release for row in rows if row.release is not None), None)

    @property
    def counts(self) -> bool:
        """Tell whether it was confirmed."""
        return self.basis != self.REQUESTED

    def __str__(self) -> str:
        return labelled(self.environment, self.release)
