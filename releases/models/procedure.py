"""A version of the written procedure: all its numbers and lists as one frozen document (D2)."""

import json
from functools import lru_cache
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from audit.snapshots import Snapshots
from environments.models import Account, Application
from releases.procedures.document import Procedure as Content
from releases.state_machines.procedure import ProcedureMachine


class ProcedureManager(models.Manager["Procedure"]):
    """Queries over procedures."""

    def of(self, application: Application | None) -> "Procedure | None":
        """Return the version in effect that an application follows; None as application: the organisation's."""
        key = application.procedure if application is not None else ""
        return self.filter(state="in_effect", key=key).first()


class Procedure(ProcedureMachine):
    """One version. `content` is releases.procedures.document.Procedure as JSON; one in effect never changes.

    key: empty for the procedure of the organisation; a further procedure applies to the applications that it names.
    """

    key = models.SlugField(_("key"), max_length=40, blank=True, default="", db_default="")
    version = models.CharField(_("version"), max_length=40)
    content = models.JSONField(_("content"))
    digest = models.CharField(_("digest"), max_length=64)
    reason = models.CharField(_("reason"), max_length=300)
    author = models.ForeignKey(Account, models.PROTECT, null=True, related_name="+", verbose_name=_("author"))
    writers = models.JSONField(_("contributing accounts"), default=list)
    created_at = WrittenAtField(_("created"), auto_now_add=True)
    in_effect_at = models.DateTimeField(_("effective since"), null=True, blank=True)
    objects: ClassVar[ProcedureManager] = ProcedureManager()
    history: Any = Snapshots()

    LOCK_ORDER = 5

    class Meta:
        verbose_name = _("release procedure")
        verbose_name_plural = _("procedures")
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["key"], condition=Q(state="in_effect"), name="procedure_one_in_effect"),
            models.UniqueConstraint(fields=["key", "version"], name="procedure_version_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.key} {self.version}".strip()

    @property
    def document(self) -> Content:
        """Return the content with its types."""
        return _typed(json.dumps(self.content))


@lru_cache(maxsize=32)
def _typed(content: str) -> Content:
    """Read a content once for all callers: parsing its two hundred parts took longer than the gates that use them."""
    return Content.model_validate(json.loads(content))
