"""A deployment: one attempt to bring a release to one environment."""

from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Collate
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from audit.snapshots import Snapshots
from environments.models import Account, Application, Environment
from releases.models.approval_request import ApprovalRequest
from releases.models.deployment_process import DeploymentProcess
from releases.models.procedure import Procedure
from releases.models.release import Release
from releases.procedures.document import Procedure as Content
from releases.state_machines.deployment import DeploymentMachine

# The version of the release when the deployment began; null before. The release may have another one since. Collated by
# bytes, so that its index finds beginnings as well.
DEPLOYED_VERSION = Collate(KeyTextTransform("version", KeyTransform("wanted", "previous")), "C")


class Deployment(DeploymentMachine):
    """One attempt. What it replaces (`base`) is frozen when its first step is claimed.

    procedure, process: the versions that apply to its end, pinned with the request; see `deployment:enqueue`.
    """

    release = models.ForeignKey(Release, models.PROTECT, related_name="deployments", verbose_name=_("release"))
    application = models.ForeignKey(
        Application, models.PROTECT, related_name="deployments", verbose_name=_("application")
    )
    environment = models.ForeignKey(
        Environment, models.PROTECT, related_name="deployments", verbose_name=_("environment")
    )
    approval_request = models.ForeignKey(
        ApprovalRequest,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="deployments",
        verbose_name=_("approval request"),
    )
    procedure = models.ForeignKey(
        Procedure, models.PROTECT, related_name="deployments", verbose_name=_("release procedure")
    )
    process = models.ForeignKey(
        DeploymentProcess,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="deployments",
        verbose_name=_("deployment process"),
    )
    requested_by = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("requested by"))
    scheduled_by = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("scheduled by")
    )
    verified_by = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("verified by")
    )
    scheduled_start_at = models.DateTimeField(_("scheduled start"), null=True, blank=True)
    scheduled_end_at = models.DateTimeField(_("window closes"), null=True, blank=True)
    not_before = models.DateTimeField(_("next attempt"), null=True, blank=True)
    previous = models.JSONField(_("previously deployed version"), default=dict, blank=True)
    measured = models.JSONField(_("measured on the deployment target"), default=dict, blank=True)
    plan_digest = models.CharField(_("step plan digest"), max_length=64, blank=True)
    blockers = models.JSONField(_("blockers"), default=list, blank=True)
    resolved_as = models.CharField(_("resolved as"), max_length=12, blank=True)
    baseline = models.JSONField(_("baseline"), default=dict, blank=True)
    created_at = WrittenAtField(_("created"), auto_now_add=True)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    history: Any = Snapshots()

    LOCK_ORDER = 30

    class Meta:
        verbose_name = _("deployment")
        verbose_name_plural = _("deployments")
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["state"], name="deployment_by_state"),
            models.Index(fields=["environment", "started_at"], name="deployment_by_start"),
            models.Index(DEPLOYED_VERSION, name="deployment_by_version"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["application", "environment"],
                condition=Q(state__in=list(DeploymentMachine.OCCUPYING)),
                name="deployment_one_occupies",
            )
        ]

    def __str__(self) -> str:
        return f"{self.release} → {self.environment}"

    @property
    def content(self) -> Content:
        """The procedure that applies to it, with the deployment process of its application in its environment."""
        procedure = self.procedure.document
        return self.process.applied_to(procedure, self.environment.slug) if self.process is not None else procedure

    def brought_content_of(self, release: Release) -> bool:
        """Tell whether it brought what a release would bring now: the same tree, and the same artefact."""
        brought, artefact = self.previous.get("wanted", {}).get("artefact", {}), release.artefact_to_deploy
        same = brought.get("digest") == (artefact.digest if artefact is not None else None)
        return same and self.previous.get("wanted_tree") == release.tree

    @property
    def starters(self) -> list[Account]:
        """The persons who count as its starters: the scheduler, and the requester where a service scheduled it."""
        if self.scheduled_by is None:
            return []
        return [self.scheduled_by, *([self.requested_by] if self.scheduled_by.kind == Account.Kind.SERVICE else [])]

    def was_started_by(self, account: Account) -> bool:
        """Tell whether this person counts as its starter, by any of their accounts."""
        return any(account.is_among(one.identities) for one in self.starters)

    def cancel_rest(self, moment: datetime) -> None:
        """Cancel the steps that will not run and fail those with unknown outcome, inside an open operation."""
        for step in self.steps.filter(state__in=["pending", "ready", "on_hold", "outcome_unknown"]):
            if step.state == "outcome_unknown":
                step.mark_failed()
            else:
                step.cancel()
            step.ended_at = moment
            step.save()

    @property
    def due_at(self) -> datetime | None:
        """Return when it may begin: its scheduled start, or the next try after a gate was not passed. None before
        scheduling.
        """
        return max(filter(None, [self.scheduled_start_at, self.not_before]), default=None)

    @property
    def verified_at(self) -> datetime | None:
        """Return when the second operator verified it, which starts its monitoring; None where none did."""
        monitoring = self.monitoring_periods.filter(purpose="deployment").order_by("pk").first()
        return monitoring.started_at if monitoring is not None and self.verified_by_id is not None else None
