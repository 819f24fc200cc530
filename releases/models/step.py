"""The journal of steps: the planned steps, each attempt with its fencing token, and the output."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from audit.models import Covered
from environments.models import Account, DeploymentTarget
from releases.models.deployment import Deployment
from releases.models.preparation import Labelled
from releases.state_machines.step import StepMachine


class Step(StepMachine, Labelled):
    """One step on one target, with type and parameters frozen; the lease columns are no audited facts.

    wave, batch: see releases/queries/step_waves.py; 0 where the deployment has one target.
    """

    class Phase(models.TextChoices):
        DEPLOYMENT = "deployment", _("Deployment")
        VERIFICATION = "verification", _("Verification")
        ROLLBACK = "rollback", _("Rollback")
        ROLLBACK_VERIFICATION = "rollback_verification", _("Rollback verification")

    deployment = models.ForeignKey(Deployment, models.PROTECT, related_name="steps", verbose_name=_("deployment"))
    target = models.ForeignKey(
        DeploymentTarget, models.PROTECT, null=True, related_name="+", verbose_name=_("deployment target")
    )
    wave = models.PositiveSmallIntegerField(_("wave"), default=0)
    batch = models.PositiveSmallIntegerField(_("batch"), default=0)
    phase = models.CharField(_("phase"), max_length=24, choices=Phase)
    ordinal = models.PositiveSmallIntegerField(_("ordinal"))
    step_type = models.CharField(_("type"), max_length=40)
    parameters = models.JSONField(_("parameters"))
    required = models.BooleanField(_("required"), default=True)
    estimate_seconds = models.FloatField(_("estimate"), default=0)
    deadline_seconds = models.FloatField(_("deadline (s)"), null=True, blank=True)
    no_output_timeout_seconds = models.FloatField(_("longest time without output (s)"), null=True, blank=True)
    result = models.JSONField(_("result"), default=dict, blank=True)
    failure = models.TextField(_("failure"), blank=True)
    fencing_token = models.PositiveIntegerField(_("fencing token"), default=0)
    owner = models.CharField(_("worker"), max_length=100, blank=True)
    lease_until = models.DateTimeField(_("lease"), null=True, blank=True)
    ready_at = models.DateTimeField(_("ready since"), null=True, blank=True)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    assignee = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("claimed by")
    )
    decision = models.JSONField(_("decision"), default=dict, blank=True)
    reported = models.JSONField(_("report of the pipeline"), default=dict, db_default={}, blank=True)

    LOCK_ORDER = 40

    class Meta:
        verbose_name = _("step")
        verbose_name_plural = _("steps")
        ordering = ["deployment", "ordinal"]
        constraints = [models.UniqueConstraint(fields=["deployment", "ordinal"], name="step_ordinal_once")]
        indexes = [
            models.Index(
                fields=["state", "lease_until"], name="step_live", condition=models.Q(state__in=["ready", "running"])
            )
        ]

    def __str__(self) -> str:
        named = super().__str__()
        return f"{named} · {self.target.name}" if self.wave and self.target is not None else named

    @property
    def key(self) -> str:
        """Return the idempotency key of this step's effect."""
        return f"{self.deployment_id}/{self.ordinal}/{self.deployment.plan_digest[:16]}"

    @property
    def begins(self) -> bool:
        """Whether it is the first step of its deployment on its target."""
        if not self.wave:
            return self.ordinal == 1
        earlier = Step.objects.filter(deployment=self.deployment_id, target=self.target_id, ordinal__lt=self.ordinal)
        return not earlier.exists()


class StepAttempt(models.Model):
    """One claim of a step: the intent is committed before any effect."""

    class Probe(models.TextChoices):
        DONE = "done", _("done")
        NOT_DONE = "not_done", _("not done")
        RUNNING = "running", _("still running")
        UNKNOWN = "unknown", _("unknown")

    class Outcome(models.TextChoices):
        SUCCEEDED = "succeeded", _("succeeded")
        FAILED = "failed", _("failed")
        UNKNOWN = "unknown", _("unknown")
        STOPPED = "stopped", _("stopped")
        ASKED = "asked", _("a person was asked")
        WAITING = "waiting", _("waiting for the right time")
        STILL_RUNNING = "still_running", _("the target was still at work")
        WORKER_LOST = "worker_lost", _("lost: the worker ended")

    step = models.ForeignKey(Step, models.PROTECT, related_name="attempts", verbose_name=_("step"))
    fencing_token = models.PositiveIntegerField(_("fencing token"))
    key = models.CharField(_("key"), max_length=100)
    worker = models.CharField(_("worker"), max_length=100)
    started_at = models.DateTimeField(_("began"))
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    probe = models.CharField(_("probe"), max_length=10, choices=Probe, blank=True)
    outcome = models.CharField(_("outcome"), max_length=20, choices=Outcome, blank=True)
    output_digest = models.CharField(_("digest of the output"), max_length=64, blank=True)

    LOCK_ORDER = 41

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["step", "fencing_token"], name="attempt_fencing_token_once")]

    def __str__(self) -> str:
        return f"{self.key} · {self.fencing_token}"


class StepOutput(Covered):
    """A chunk of a step's output, masked before it gets here."""

    step = models.ForeignKey(Step, models.PROTECT, related_name="output", verbose_name=_("step"))
    fencing_token = models.PositiveIntegerField(_("fencing token"))
    at = WrittenAtField(_("time"), auto_now_add=True)
    text = models.TextField(_("text"))

    class Meta(Covered.Meta):
        verbose_name = _("output")
        verbose_name_plural = _("output")
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.text[:60]
