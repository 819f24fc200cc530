"""A view of a list that a person keeps: its filters, search, columns and order under a name."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from environments.models.account import Account


class SavedView(models.Model):
    """A name for a query string of one list. Who opens it sees the rows that they see on that list, and no others."""

    LONGEST: ClassVar[int] = 1000
    account = models.ForeignKey(Account, models.PROTECT, related_name="saved_views", verbose_name=_("account"))
    listed = models.CharField(_("list"), max_length=100)  # app_model
    name = models.CharField(_("name"), max_length=60)
    query = models.CharField(_("filters, search, columns and order"), max_length=LONGEST, blank=True)
    shared = models.BooleanField(_("shared with all readers of the list"), default=False)
    created_at = WrittenAtField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("saved view")
        verbose_name_plural = _("saved views")
        constraints = (models.UniqueConstraint(fields=["account", "listed", "name"], name="saved_view_name_once"),)

    def __str__(self) -> str:
        return self.name
