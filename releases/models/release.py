"""A release and the changes that it brings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils.functional import cached_property
from django.utils.translation import gettext as _now, gettext_lazy as _

from audit.fields import WrittenAtField
from audit.snapshots import Snapshots
from environments.models import Account, Application, Environment
from releases.models.artefact import Artefact
from releases.models.deployment_process import DeploymentProcess
from releases.models.procedure import Procedure
from releases.state_machines.release import ReleaseMachine


def preauthorisation_words(agreed: Mapping[str, Any]) -> str:
    """Return in the reader's language which rollback an approval pre-authorises; see Release.preauthorisation."""
    if not agreed["on"]:
        return _now("no")
    if agreed.get("on_failure"):
        text = _now(
            "yes, up to %(n)d rows: after a critical alarm, and when a required step or check of the production "
            "deployment fails"
        )
    else:
        text = _now("yes, up to %(n)d rows: after a critical alarm")
    return text % {"n": agreed["rows"]}


class Release(ReleaseMachine):
    """A version of an application on its way to production, or imported as having been there."""

    class Kind(models.TextChoices):
        REGULAR = "regular", _("Regular")
        STANDARD = "standard", _("Standard change")
        EMERGENCY = "emergency", _("Emergency")
        PRE_RELEASE = "pre_release", _("Pre-release")

    class Risk(models.TextChoices):
        LOW = "low", _("Low")
        MEDIUM = "medium", _("Medium")
        HIGH = "high", _("High")

    application = models.ForeignKey(Application, models.PROTECT, related_name="releases", verbose_name=_("application"))
    number = models.CharField(_("number"), max_length=12, null=True, blank=True, unique=True)
    version = models.CharField(_("version"), max_length=60)
    kind = models.CharField(_("type"), max_length=12, choices=Kind, default=Kind.REGULAR)
    title = models.CharField(_("title"), max_length=200)
    author = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("author"))
    branch = models.CharField(_("source branch"), max_length=200, blank=True)
    commit = models.CharField(_("commit"), max_length=40, blank=True)
    tree = models.CharField(_("Git tree hash"), max_length=40, blank=True)
    tag = models.CharField(_("tag"), max_length=100, blank=True)
    tag_object = models.CharField(_("tag object"), max_length=40, blank=True)
    reason = models.TextField(_("reason"), blank=True)
    ticket = models.CharField(_("ticket"), max_length=100, blank=True)
    impact = models.TextField(_("impact"), blank=True)
    security_impact = models.TextField(_("security impact"), blank=True)
    risk = models.CharField(_("risk class"), max_length=8, choices=Risk, blank=True)
    test_plan = models.TextField(_("test plan"), blank=True)
    rollback_plan = models.TextField(_("rollback plan"), blank=True)
    criterion = models.CharField(_("emergency criterion or standard change"), max_length=100, blank=True)
    scheduled_start_at = models.DateTimeField(_("window opens"), null=True, blank=True)
    scheduled_end_at = models.DateTimeField(_("window closes"), null=True, blank=True)
    later_windows = models.JSONField(_("change windows of later environments"), default=dict, blank=True)
    procedure = models.ForeignKey(
        Procedure, models.PROTECT, null=True, blank=True, related_name="releases", verbose_name=_("release procedure")
    )
    process = models.ForeignKey(
        DeploymentProcess,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="releases",
        verbose_name=_("deployment process"),
    )
    artefact = models.ForeignKey(
        Artefact, models.PROTECT, null=True, blank=True, related_name="releases", verbose_name=_("artefact")
    )
    step_plan = models.JSONField(_("step plan"), default=dict, blank=True)
    configurations = models.JSONField(_("configurations"), default=dict, blank=True)
    rollback_pre_authorised = models.BooleanField(_("pre-authorised rollback"), default=False)
    data_loss_limit = models.PositiveIntegerField(_("data loss limit (rows)"), default=0)
    rollback_on_failure = models.BooleanField(
        _("also roll back when a required step or check of the production deployment fails"), default=False
    )
    on_timeout = models.CharField(
        _("if no one responds"),
        max_length=12,
        choices=[("roll_back", _("roll back")), ("keep", _("keep"))],
        default="roll_back",
    )
    editors: models.ManyToManyField[Any, Any] = models.ManyToManyField(
        Account, related_name="+", blank=True, verbose_name=_("edited by")
    )
    copied_from = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="copies", verbose_name=_("copied from")
    )
    created_at = WrittenAtField(_("created"), auto_now_add=True)
    history: Any = Snapshots()

    LOCK_ORDER = 20
    APPLICATION_FIELDS = ("reason", "ticket", "impact", "security_impact", "risk", "test_plan", "rollback_plan")

    class Meta:
        verbose_name = _("release")
        verbose_name_plural = _("releases")
        ordering = ["-created_at"]
        # Few of many are under way: My tasks, the board and the calendar look for those alone. Lists find a version and
        # a commit by how they begin.
        indexes = [
            models.Index(fields=["state"], name="release_by_state"),
            models.Index(fields=["version"], name="release_by_version", opclasses=["varchar_pattern_ops"]),
            models.Index(fields=["commit"], name="release_by_commit", opclasses=["varchar_pattern_ops"]),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["application", "version"],
                condition=~Q(state__in=["rejected", "cancelled", "failed", "rolled_back"]),
                name="release_version_unique",
            )
        ]

    def __str__(self) -> str:
        return f"{self.application} {self.version}"

    @property
    def artefact_kind(self) -> str:
        """The type of artefact that its deployment process deploys; empty: the Git tree of its commit."""
        return self.process.document.artefact or "" if self.process is not None else ""

    @property
    def artefact_to_deploy(self) -> Artefact | None:
        """What it deploys in place of its Git tree: the artefact fixed with its scope; of a draft, the newest one."""
        if not self.artefact_kind:
            return None
        return self.newest_artefact() if self.state == "draft" else self.artefact

    def newest_artefact(self) -> Artefact | None:
        """Return the artefact of its commit that was registered last, of the type that its process deploys."""
        found = Artefact.objects.filter(application=self.application_id, commit=self.commit, kind=self.artefact_kind)
        return found.exclude(commit="").order_by("pk").last()

    @cached_property
    def places(self) -> list[Environment]:
        """The environments that it can be deployed to: where its application has a target, in the order of
        promotion.
        """
        return list(Environment.objects.of(self.application_id))

    @cached_property
    def destinations(self) -> list[Environment]:
        """The environments of production that it is planned for, in order; one approval request decides about all."""
        return [place for place in self.places if place.tier == Environment.Tier.PRODUCTION]

    def window_in(self, environment: Environment) -> tuple[datetime | None, datetime | None]:
        """Return the planned start and end of the change window in an environment of production.

        The first has `scheduled_start_at`; `later_windows` has those of the others: key → start and end, ISO 8601.
        """
        later = self.later_windows.get(environment.slug)
        if later is None:
            return self.scheduled_start_at, self.scheduled_end_at
        start, end = (datetime.fromisoformat(at) for at in later)
        return start, end

    @property
    def preauthorisation(self) -> dict[str, Any]:
        """The pre-authorised rollback in the approved content: whether there is one (`on`), up to
        how many rows lost, and whether also after a failure of the deployment itself.
        """
        return {
            "on": self.rollback_pre_authorised,
            "rows": self.data_loss_limit,
            "on_failure": self.rollback_on_failure,
        }

    @property
    def preauthorisation_words(self) -> str:
        """The pre-authorised rollback in words."""
        return preauthorisation_words(self.preauthorisation)

    @property
    def bound_for_production(self) -> bool:
        """Tell whether this release is planned for production."""
        return self.kind != self.Kind.PRE_RELEASE


class ChangeEntry(models.Model):
    """One change of a release; its type decides how the version must rise."""

    class Kind(models.TextChoices):
        BREAKING = "breaking", _("Breaking change")
        FEATURE = "feature", _("New feature")
        FIX = "fix", _("Fix")
        SMALL = "small", _("Small change")

    release = models.ForeignKey(Release, models.CASCADE, related_name="changes", verbose_name=_("release"))
    kind = models.CharField(_("type"), max_length=10, choices=Kind)
    text = models.CharField(_("change entry"), max_length=300)
    ticket = models.CharField(_("ticket"), max_length=100, blank=True)
    author = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("author"))

    class Meta:
        verbose_name = _("change entry")
        verbose_name_plural = _("changes")
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.text
