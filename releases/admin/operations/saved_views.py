"""Verbs on saved views: a list's filters, search, columns and order under a name."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy as _

from environments.models import SavedView
from environments.operations.saved_view import save
from releases.admin.components.views import kept_of
from releases.admin.operations.base import Verb
from releases.admin.operations.fields import length, text


class ViewField(forms.CharField):
    """A list and its query, `app_model?query`; of the query only what the list knows is kept."""

    widget = forms.HiddenInput

    def to_python(self, value: Any) -> str:
        """Return the view without the parameters that its list does not know. Raises ValidationError without a list."""
        if (kept := kept_of(str(value or ""))) is None:
            raise forms.ValidationError(gettext("This list does not exist."))
        return kept


def _fields(_instance: Any) -> Mapping[str, forms.Field]:
    return {
        "view": ViewField(initial="releases_release?"),
        "name": text(_("name"), most=length(SavedView, "name")),
        "shared": forms.BooleanField(label=_("shared with all readers of the list"), required=False),
    }


def _list(view: SavedView) -> str:
    return f"{reverse(f'admin:{view.listed}_changelist')}?{view.query}"


SAVE = Verb("saved_view", "save", _("Save view"), save.save, save.RIGHTS, fields=_fields, page=_list)
DELETE = Verb(
    "saved_view",
    "delete",
    _("Delete view"),
    save.delete,
    (),
    SavedView,
    danger=True,
    why_not_permitted=save.why_not_permitted,
    page=_list,
)
VERBS: tuple[Verb, ...] = (SAVE, DELETE)
