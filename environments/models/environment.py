"""Environments, applications, and the copies of an application that run in them."""

from typing import ClassVar

from django.db import models
from django.utils.translation import get_language, gettext_lazy as _

from audit.one_look import once_a_look
from audit.snapshots import Snapshots
from environments.queues import OWN_QUEUES
from environments.times import office_zone


class EnvironmentManager(models.Manager["Environment"]):
    """Queries over environments."""

    def of(self, application: "Application | int") -> models.QuerySet["Environment"]:
        """Return the environments in which an application has a target in use."""
        targets = DeploymentTarget.objects.filter(application=application)
        return self.filter(pk__in=targets.values("environment"))


class Environment(models.Model):
    """An environment of applications (E1). Order is the order of promotion."""

    class Tier(models.TextChoices):
        DEVELOPMENT = "development", _("Development")
        STAGING = "staging", _("Staging")
        PRODUCTION = "production", _("Production")

    slug = models.SlugField(_("key"), unique=True)
    name_ja = models.CharField(_("name (Japanese)"), max_length=60)
    name_en = models.CharField(_("name (English)"), max_length=60)
    purpose_ja = models.CharField(_("purpose (Japanese)"), max_length=200, blank=True)
    purpose_en = models.CharField(_("purpose (English)"), max_length=200, blank=True)
    tier = models.CharField(_("tier"), max_length=12, choices=Tier)
    order = models.PositiveSmallIntegerField(_("order of promotion"), unique=True)
    protected = models.BooleanField(_("protected"), default=False)
    requires_two_factor = models.BooleanField(_("two-factor authentication for signatures"), default=False)
    zone = models.CharField(_("time zone"), max_length=40, default=office_zone)
    objects: ClassVar[EnvironmentManager] = EnvironmentManager()
    history = Snapshots()

    LOCK_ORDER = 10

    class Meta:
        verbose_name = _("environment")
        verbose_name_plural = _("environments")
        ordering = ["order"]

    def __str__(self) -> str:
        return self.name_ja if get_language() == "ja" else self.name_en

    @classmethod
    def queues(cls) -> list[str]:
        """Return the names of the queues: one for each environment, by its key, and Ringi's own."""
        return [*cls.objects.order_by("order").values_list("slug", flat=True), *OWN_QUEUES]

    @property
    def purpose(self) -> str:
        """Return the purpose in the reader's language."""
        return self.purpose_ja if get_language() == "ja" else self.purpose_en


class Application(models.Model):
    """An application: a name and the git repository that it comes from.

    group: a key that applications of a team share; a grant may name it in place of each of them. Fixed with the
    application, because moving one would give access to it away. retired: no release of it is planned any more.
    procedure: key of the release procedure that it follows; empty: the one of the organisation.
    """

    slug = models.SlugField(_("key"), unique=True)
    name = models.CharField(_("name"), max_length=100)
    group = models.SlugField(_("application group"), max_length=60, blank=True)
    repository = models.CharField(_("repository"), max_length=400)
    tag_format = models.CharField(_("tag format"), max_length=60, default="v{version}")
    allowed_signers = models.TextField(
        _("allowed signers"), blank=True, help_text=_("One key per line, as git reads it.")
    )
    retired = models.BooleanField(_("retired"), default=False)
    # Written when a procedure that names the application takes effect.
    procedure = models.SlugField(
        _("key of the release procedure"), max_length=40, blank=True, default="", db_default=""
    )
    history = Snapshots()

    LOCK_ORDER = 15

    documents_branch = models.CharField(_("branch for published documents"), max_length=200, blank=True)
    documents_folder = models.CharField(_("folder for published documents"), max_length=200, blank=True)
    # Where merge requests are read; the token is the secret FORGE_TOKEN of the newest configuration.
    forge = models.CharField(
        _("forge"), max_length=10, blank=True, choices=[("github", "GitHub"), ("gitlab", "GitLab")]
    )
    forge_url = models.CharField(_("address of the interface"), max_length=400, blank=True)
    forge_project = models.CharField(_("project"), max_length=200, blank=True)
    ticket_formats = models.CharField(_("formats of tickets"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("application")
        verbose_name_plural = _("applications")
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name


class InUseManager(models.Manager["DeploymentTarget"]):
    """The targets that are in use."""

    def get_queryset(self) -> models.QuerySet["DeploymentTarget"]:
        """Leave out the retired ones."""
        return super().get_queryset().filter(retired=False)


class DeploymentTarget(models.Model):
    """One copy of an application in an environment: the folder it lives in and how it is run there.

    group: a key by which steps name some of several targets, such as `web`. retired: Ringi neither deploys to it nor
    measures it any more; `objects` leaves it out, `every` holds it.
    """

    ONLY = "main"

    application = models.ForeignKey(Application, models.PROTECT, related_name="targets", verbose_name=_("application"))
    environment = models.ForeignKey(Environment, models.PROTECT, related_name="targets", verbose_name=_("environment"))
    name = models.SlugField(_("target name"), max_length=40, default=ONLY)
    group = models.SlugField(_("group"), max_length=40, blank=True)
    root = models.CharField(_("folder"), max_length=400)
    options = models.JSONField(_("target options"), default=dict)
    retired = models.BooleanField(_("retired"), default=False)
    objects: ClassVar[InUseManager] = InUseManager()
    every: ClassVar[models.Manager["DeploymentTarget"]] = models.Manager()
    history = Snapshots()
    LOCK_ORDER = 16

    class Meta:
        verbose_name = _("deployment target")
        verbose_name_plural = _("deployment targets")
        constraints = [
            models.UniqueConstraint(fields=["application", "environment", "name"], name="target_name_unique")
        ]

    def __str__(self) -> str:
        place = f"{self.application} · {self.environment}"
        return place if self.name == self.ONLY else f"{place} · {self.name}"


def targets_in(application: Application | int, environment: Environment | int) -> list[DeploymentTarget]:
    """Return the targets of an application in an environment, in the order in which they were made."""
    keys = (row if isinstance(row, int) else row.pk for row in (application, environment))
    return list(_targets_in(*keys))


@once_a_look
def _targets_in(application: int, environment: int) -> tuple[DeploymentTarget, ...]:
    rows = DeploymentTarget.objects.filter(application=application, environment=environment)
    return tuple(rows.select_related("application", "environment").order_by("pk"))
