"""The values that a form brought: a signature counts for these, and the page that asks for the proof shows them."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.text import Truncator
from django.utils.translation import gettext as _

from audit.actor import acting, current
from audit.operation import retry_on_deadlock
from environments.language import labelled
from releases.admin.operations.fields import WriteOnly

# Characters of one value on the page that asks for the proof.
LONGEST = 200


def submit(run: Callable[[], Any], values: object) -> Any:
    """Do an operation, whose signature counts for these submitted values only; return its result. Raises an
    OperationRefused.
    """
    with acting(replace(current(), submitted=digest_of(values))):
        return retry_on_deadlock(run)()


def digest_of(values: object) -> str:
    """Return the SHA-256 of a form's values, the same in every process, in hexadecimal."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=_plain).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Return what JSON can hold of a value. The text of a query ends after twenty rows; that of a set has no order."""
    if isinstance(value, QuerySet):
        return sorted(str(row.pk) for row in value)
    return sorted(map(str, value)) if isinstance(value, set | frozenset) else str(value)


def values_of(form: forms.Form) -> list[str]:
    """Return what a form says, a line for each field that is filled in, without secrets."""
    cleaned = getattr(form, "cleaned_data", {})
    return [
        labelled(str(bound.label), Truncator(_in_words(bound, cleaned[bound.name])).chars(LONGEST))
        for bound in form.visible_fields()
        if cleaned.get(bound.name) and not _secret(bound.field.widget)
    ]


def _secret(widget: forms.Widget) -> bool:
    """Tell whether a page shows a value no more than once: what a browser is not to keep either."""
    return isinstance(widget, WriteOnly) or widget.attrs.get("autocomplete") == "off"


def _in_words(bound: forms.BoundField, value: Any) -> str:
    if isinstance(bound.field, forms.ModelChoiceField):
        return ", ".join(map(str, value)) if isinstance(value, QuerySet) else str(value)
    if isinstance(bound.field, forms.ChoiceField):
        chosen = set(map(str, value if isinstance(value, list) else [value]))
        return ", ".join(str(option.choice_label) for option in bound.subwidgets if str(option.data["value"]) in chosen)
    # As it was entered, times included.
    return _("yes") if value is True else str(bound.value())
