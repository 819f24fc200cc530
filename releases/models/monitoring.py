"""Post-deployment monitoring and its measurements (R7, B5)."""

from datetime import datetime, timedelta

from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.models import Covered
from releases.models.deployment import Deployment
from releases.models.rollback import Rollback


class MonitoringPeriod(models.Model):
    """A monitoring period: time stamps and one derived state.

    triggers: those of the procedure that are measured, frozen; `required` = monitoring can't pass without its metric.
    checks: what is checked beside the metrics (key, kind, parameters, labels), every `check_seconds`, frozen.
    paused_seconds: of its pauses that have ended, all together; resumed_at: the end of the last one. no_data_at: when
    the missing value of a required metric or check was reported; None while it has one.
    """

    class Purpose(models.TextChoices):
        BASELINE = "baseline", _("Before the deployment, for the baseline")
        DEPLOYMENT = "deployment", _("After the deployment")
        ROLLBACK = "rollback", _("After the rollback")

    class Result(models.TextChoices):
        PASSED = "passed", _("passed")
        INCONCLUSIVE = "inconclusive", _("inconclusive")
        MEASURED = "measured", _("measured")
        PASSED_BY_PERSON = "passed_by_person", _("passed by a person")
        SUPERSEDED = "superseded", _("superseded by a newer deployment")
        ROLLED_BACK = "rolled_back", _("rolled back")

    purpose = models.CharField(_("purpose"), max_length=12, choices=Purpose, default=Purpose.DEPLOYMENT)
    deployment = models.ForeignKey(
        Deployment, models.PROTECT, related_name="monitoring_periods", verbose_name=_("deployment")
    )
    rollback = models.ForeignKey(
        Rollback, models.PROTECT, null=True, blank=True, related_name="monitoring_periods", verbose_name=_("rollback")
    )
    interval_seconds = models.FloatField(_("interval in seconds"))
    duration_seconds = models.FloatField(_("duration in seconds"))
    baseline = models.JSONField(_("baseline"), default=dict)
    triggers = models.JSONField(_("rollback triggers"), default=list)
    checks = models.JSONField(_("checks"), default=list)
    check_seconds = models.FloatField(_("seconds between checks"), default=3600)
    started_at = models.DateTimeField(_("began"))
    paused_at = models.DateTimeField(_("paused"), null=True, blank=True)
    paused_seconds = models.FloatField(_("seconds paused"), default=0)
    resumed_at = models.DateTimeField(_("resumed"), null=True, blank=True)
    no_data_at = models.DateTimeField(_("no data since"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    result = models.CharField(_("result"), max_length=20, choices=Result, blank=True)
    recorded_by = models.ForeignKey(
        "environments.Account",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("result recorded by"),
    )
    next_at = models.DateTimeField(_("next measurement"), null=True, blank=True)
    next_checks_at = models.DateTimeField(_("next checks"), null=True, blank=True)

    LOCK_ORDER = 60

    class Meta:
        verbose_name = _("monitoring period")
        verbose_name_plural = _("monitoring periods")
        indexes = [
            models.Index(fields=["next_at"], name="monitoring_due", condition=models.Q(ended_at__isnull=True)),
            models.Index(
                fields=["next_checks_at"], name="monitoring_checks_due", condition=models.Q(ended_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.deployment} · {self.started_at:%Y-%m-%d %H:%M}"

    @property
    def ends_at(self) -> datetime:
        """Return when its time is over, extended by its pauses, so that it measures for its whole duration."""
        return self.started_at + timedelta(seconds=self.duration_seconds + self.paused_seconds)

    def resume(self, moment: datetime) -> None:
        """End a pause: a measurement is due at once, and the checks as long after it as they were due after its
        beginning.
        """
        assert self.paused_at is not None
        pause = moment - self.paused_at
        self.paused_seconds += pause.total_seconds()
        self.paused_at, self.resumed_at, self.next_at = None, moment, moment
        if self.next_checks_at is not None:
            self.next_checks_at += pause


class Measurement(Covered):
    """One measurement: per metric its value and result (pass, fail, no_data, stale, error); raw counters for the
    next.
    """

    period = models.ForeignKey(
        MonitoringPeriod, models.PROTECT, related_name="measurements", verbose_name=_("monitoring period")
    )
    due_at = models.DateTimeField(_("due"))
    at = models.DateTimeField(_("measured at"))
    up = models.BooleanField(_("answered"))
    raw = models.JSONField(_("raw data"), default=dict)
    values = models.JSONField(_("values"), default=dict)
    error = models.CharField(_("error"), max_length=300, blank=True)

    class Meta(Covered.Meta):
        verbose_name = _("measurement")
        verbose_name_plural = _("measurements")
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["period", "due_at"], name="measurement_once")]

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S}"


class MonitoringCheck(Covered):
    """One check during monitoring with its result: value, limit, result, and the output kept as proof.

    position: where a check of the log ended (environments/targets/log_position.py) and the next one continues.
    """

    class Result(models.TextChoices):
        PASSED = "passed", _("passed")
        FAILED = "failed", _("failed")
        NO_DATA = "no_data", _("no data")
        STALE = "stale", _("stale")
        ERROR = "error", _("error")

    period = models.ForeignKey(
        MonitoringPeriod, models.PROTECT, related_name="check_results", verbose_name=_("monitoring period")
    )
    key = models.CharField(_("key"), max_length=60)
    due_at = models.DateTimeField(_("due"))
    at = models.DateTimeField(_("measured at"))
    result = models.CharField(_("result"), max_length=10, choices=Result)
    value = models.CharField(_("value"), max_length=200, blank=True)
    limit = models.CharField(_("limit"), max_length=200, blank=True)
    output = models.TextField(_("output"), blank=True)
    position = models.JSONField(_("position in the log"), null=True, blank=True)

    class Meta(Covered.Meta):
        verbose_name = _("monitoring check")
        verbose_name_plural = _("monitoring checks")
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["period", "key", "due_at"], name="monitoring_check_once")]

    def __str__(self) -> str:
        return f"{self.key} {self.at:%H:%M:%S}"

    @property
    def known(self) -> bool:
        """Tell whether it passed or failed; any other result is unknown."""
        return self.result in ("passed", "failed")
