"""A version of the deployment process of an application: the steps, checks and triggers that it has of its own."""

import json
from functools import lru_cache
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from audit.snapshots import Snapshots
from environments.language import noted
from environments.models import Account, Application
from releases.procedures.document import Procedure as Content
from releases.procedures.process import Process
from releases.state_machines.deployment_process import DeploymentProcessMachine


class DeploymentProcess(DeploymentProcessMachine):
    """One version. `content` is releases.procedures.process.Process as JSON; it never changes. writers: keys of the
    accounts that wrote in it beside the author: in drafts before it, and in the files that it comes from.
    """

    application = models.ForeignKey(
        Application, models.PROTECT, related_name="processes", verbose_name=_("application")
    )
    number = models.PositiveIntegerField(_("version"))
    content = models.JSONField(_("content"))
    digest = models.CharField(_("digest"), max_length=64)
    reason = models.CharField(_("reason"), max_length=300)
    writers = models.JSONField(_("contributing accounts"), default=list)
    author = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("author"))
    created_at = WrittenAtField(_("created"), auto_now_add=True)
    in_effect_at = models.DateTimeField(_("effective since"), null=True, blank=True)
    history: Any = Snapshots()

    LOCK_ORDER = 17

    class Meta:
        verbose_name = _("deployment process")
        verbose_name_plural = _("deployment processes")
        ordering = ["application", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["application", "number"], name="deployment_process_number_unique"),
            models.UniqueConstraint(
                fields=["application"], condition=Q(state="in_effect"), name="deployment_process_one_in_effect"
            ),
        ]

    def __str__(self) -> str:
        return noted(self.application, self.number)

    @property
    def document(self) -> Process:
        """Return the content with its types."""
        return _typed(json.dumps(self.content))

    def applied_to(self, procedure: Content, environment: str = "") -> Content:
        """Return a procedure with this process in it; environment as in `Process.applied_to`."""
        return self.document.applied_to(procedure, environment)

    @classmethod
    def current(cls, application_id: int) -> "DeploymentProcess | None":
        """Return the version that a new release follows: the one in effect; before the first one is, the newest draft.
        None: the application follows the steps of the procedure.
        """
        rows = cls.objects.filter(application=application_id, state__in=["draft", "in_review", "in_effect"])
        return min(rows, key=lambda row: (row.state != "in_effect", -row.number), default=None)

    @property
    def approved(self) -> bool:
        """Tell whether the version was approved, so that a protected environment takes it."""
        return self.state in ("in_effect", "retired")


@lru_cache(maxsize=64)
def _typed(content: str) -> Process:
    return Process.model_validate(json.loads(content))
