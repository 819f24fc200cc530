"""Choices of several people in forms."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from environments.models import Account


def people(label: Any, *, required: bool = True) -> forms.ModelMultipleChoiceField[Any]:
    """Return a choice of several people who work here."""
    rows = Account.objects.filter(kind="person", is_active=True)
    return forms.ModelMultipleChoiceField(label=label, queryset=rows, required=required)


def co_authors() -> forms.ModelMultipleChoiceField[Any]:
    """Return the choice of those who wrote a document with the person who loads it."""
    field = people(_("others who wrote the change"), required=False)
    field.help_text = _("They are authors as you are, and do not approve it.")
    return field
