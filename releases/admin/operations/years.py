"""Verbs on closed years: request, confirm and reject the closing of a fiscal year of the ledger."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from audit.models import ClosedYear
from releases.admin.operations.base import Verb
from releases.admin.operations.fields import must, text
from releases.operations.year import close
from releases.queries.year_figures import figures

Lines = list[tuple[str, str]]


def _year(instance: Any) -> Mapping[str, forms.Field]:
    years = close.YEARS
    number = forms.IntegerField(
        label=_("fiscal year"), min_value=years.start, max_value=years.stop - 1, initial=close.next_year()
    )
    return {"year": number, "reason": text(_("reason"))}


def _of_request(instance: Any, values: dict[str, Any]) -> Lines:
    return figures(close.Signed.of(values["year"]).contents)


def _of_confirmation(row: ClosedYear, values: dict[str, Any]) -> Lines:
    return figures(close.Signed.of(row.year).contents)


on_year = partial(Verb, "year", model=ClosedYear, over=close.over)
VERBS: tuple[Verb, ...] = (
    Verb(
        "year",
        "request_closing",
        _("Request to close year"),
        close.request_closing,
        ("audit",),
        fields=_year,
        signs=True,
        preview=_of_request,
        makes=ClosedYear,
    ),
    on_year(
        "confirm_closing",
        _("Confirm closing of year"),
        close.confirm_closing,
        ("manage_accounts",),
        signs=True,
        preview=_of_confirmation,
    ),
    on_year(
        "reject_closing",
        _("Reject closing of year"),
        close.reject_closing,
        ("audit", "manage_accounts"),
        fields=must,
        danger=True,
    ),
)
