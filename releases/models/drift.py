"""Measurements of deployment targets against their deployed versions, and each time that the two differed."""

from collections.abc import Iterable

from django.db import models
from django.utils.translation import gettext_lazy as _

from environments.language import labelled
from environments.models import Application, DeploymentTarget, Environment

# The parts of a target that are measured and compared; the digests by these keys stand in `expected` and `found`.
PARTS = ("code", "configuration", "schema")


def words_of(parts: Iterable[str]) -> str:
    """Return the parts that differ, in the reader's language."""
    labels = {"code": _("code"), "configuration": _("configuration"), "schema": _("database schema")}
    return " · ".join(str(labels[part]) for part in parts)


class TargetMeasurement(models.Model):
    """The last measurement of a target. What could not be measured is unknown, with the reason, and never equal."""

    class Result(models.TextChoices):
        PASSED = "passed", _("as deployed")
        DRIFT = "drift", _("drift")
        UNKNOWN = "unknown", _("unknown")

    class Reason(models.TextChoices):
        NOTHING_ACTIVE = "nothing_active", _("no version is registered as running there")
        UNKNOWN_CONTENT = "unknown_content", _("the deployed version there is recorded as unknown")
        DEPLOYMENT_RUNNING = "deployment_running", _("a deployment there is not over")
        CHANGED_MEANWHILE = "changed_meanwhile", _("another version became active during the measurement")
        NOT_REACHED = "not_reached", _("the deployment target could not be measured")

    target = models.OneToOneField(
        DeploymentTarget, models.PROTECT, related_name="measurement", verbose_name=_("deployment target")
    )
    at = models.DateTimeField(_("measured at"), null=True)
    result = models.CharField(_("result"), max_length=8, choices=Result, default=Result.UNKNOWN)
    reason = models.CharField(_("reason"), max_length=20, choices=Reason, blank=True)
    detail = models.CharField(_("detail"), max_length=300, blank=True)
    next_at = models.DateTimeField(_("next measurement"), null=True)

    class Meta:
        verbose_name = _("measurement of a deployment target")
        verbose_name_plural = _("measurements of deployment targets")

    def __str__(self) -> str:
        return labelled(self.target, self.get_result_display())


class Drift(models.Model):
    """A time during which a target was not as it was deployed: from the measurement that found it to one that did not.

    expected, found: digest by part (PARTS). parts: those that differ.
    """

    target = models.ForeignKey(
        DeploymentTarget, models.PROTECT, related_name="drifts", verbose_name=_("deployment target")
    )
    parts = models.JSONField(_("differences"))
    expected = models.JSONField(_("expected"))
    found = models.JSONField(_("found"))
    found_at = models.DateTimeField(_("found at"))
    ended_at = models.DateTimeField(_("ended at"), null=True)

    class Meta:
        verbose_name = _("drift")
        verbose_name_plural = _("drifts")
        ordering = ["-found_at"]
        constraints = [
            models.UniqueConstraint(fields=["target"], condition=models.Q(ended_at=None), name="drift_one_open")
        ]

    def __str__(self) -> str:
        return labelled(self.target, self.words)

    @property
    def application(self) -> Application:
        """Return the application of the target."""
        return self.target.application

    @property
    def environment(self) -> Environment:
        """Return the environment of the target."""
        return self.target.environment

    @property
    def words(self) -> str:
        """Return what differs, in the reader's language."""
        return words_of(self.parts)
