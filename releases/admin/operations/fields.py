"""Fields of the verbs' forms: times and days of a zone, texts, lines, pairs, JSON and rows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.validators import ProhibitNullCharactersValidator
from django.db.models import Model
from django.forms.fields import InvalidJSONInput
from django.utils.translation import gettext as _

from environments import access, calendar
from environments.admin.rights import read_rights
from environments.application_scope import paths_of, within
from environments.models import Application
from environments.times import FIRST_YEAR, LAST_YEAR, ZONE

# Most characters of a text: of a reason or a comment as the models keep it, and of a text of several rows.
LINE, TEXT = 300, 200_000
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
# No setting is nested deeper; Python and PostgreSQL give up only at some thousands.
_DEPTH = 50


class ZonedDateTimeField(forms.DateTimeField):
    """A time in ISO form; without an offset it is read in `zone`, as environments/calendar reads local times."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")

    def __init__(self, *, zone: str = ZONE, **options: Any) -> None:
        options.setdefault("help_text", _("Local time in %(zone)s") % {"zone": zone})
        super().__init__(**options)
        self.zone = zone

    def prepare_value(self, value: Any) -> Any:
        """Return a time, or the text of one with its offset, as the field shows it: local in `zone`."""
        try:
            moment = datetime.fromisoformat(value) if isinstance(value, str) else value
            aware = isinstance(moment, datetime) and moment.tzinfo is not None
            return moment.astimezone(ZoneInfo(self.zone)) if aware else value
        except (ValueError, OverflowError):
            return value

    def to_python(self, value: Any) -> datetime | None:
        """Return an aware time or None; what was offered and left as it is stays that instant, to the second."""
        if value in (None, ""):
            return None
        offered = self.prepare_value(self.initial)
        if isinstance(offered, datetime) and self.widget.format_value(offered) == value:
            return offered.astimezone(UTC)
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            raise forms.ValidationError(_("Write the time as 2026-12-16T01:00.")) from None
        _check_year(moment)
        return moment if moment.tzinfo is not None else calendar.instant(moment, self.zone)


def _check_year(day: date) -> None:
    """Raise ValidationError for a day that nobody plans for, often a typing mistake."""
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        years = {"first": FIRST_YEAR, "last": LAST_YEAR}
        raise forms.ValidationError(_("Enter a year from %(first)s to %(last)s.") % years)


def day(label: Any, **options: Any) -> forms.DateField:
    """Return a field for a day."""
    widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    return forms.DateField(label=label, widget=widget, validators=[_check_year], **options)


def clock(label: Any, **options: Any) -> forms.TimeField:
    """Return a field for a time of the day."""
    return forms.TimeField(label=label, widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"), **options)


def check_nul(text: str) -> None:
    """Raise ValidationError for the character that no column of text holds."""
    ProhibitNullCharactersValidator()(text)


def check_json(value: Any) -> None:
    """Raise ValidationError for what a column of JSON does not keep: no number, half a character, NUL, or too deep."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
        level = [value]
        for _level in range(_DEPTH):
            inner = [each for each in level if isinstance(each, (dict, list))]
            level = [one for each in inner for one in (each.values() if isinstance(each, dict) else each)]
        if level:
            raise RecursionError
    except (ValueError, RecursionError):
        raise forms.ValidationError(forms.JSONField.default_error_messages["invalid"]) from None
    if _ESCAPED_NUL.search(text):
        check_nul("\x00")


class LinesField(forms.CharField):
    """Several short texts, one per line; a tuple."""

    widget = forms.Textarea(attrs={"rows": 3})

    def to_python(self, value: Any) -> Any:
        """Return the lines that are not empty."""
        check_nul(str(value or ""))
        return tuple(line.strip() for line in str(value or "").splitlines() if line.strip())


class FilesInput(forms.ClearableFileInput):
    """A choice of several files."""

    allow_multiple_selected = True


class FilesField(forms.FileField):
    """One file or several; a list."""

    widget = FilesInput

    def clean(self, data: Any, initial: Any = None) -> Any:
        """Return each file, checked as one."""
        given = data if isinstance(data, list | tuple) else [data]
        return [super(FilesField, self).clean(one, initial) for one in given or [None]]


class PairsField(forms.CharField):
    """KEY=value lines; a dict."""

    widget = forms.Textarea(attrs={"rows": 6})

    def to_python(self, value: Any) -> Any:
        """Return key → value."""
        check_nul(str(value or ""))
        pairs = {}
        for number, line in enumerate(str(value or "").splitlines(), 1):
            if not line.strip():
                continue
            key, found, text = line.partition("=")
            if not found or not key.strip():
                # By its number: the typed text may be a secret.
                raise forms.ValidationError(_("Write one KEY=value per line: line %(line)s") % {"line": number})
            pairs[key.strip()] = text.strip()
        return pairs


class JSONText(forms.JSONField):
    """A value written as JSON; a returned form shows it indented again."""

    def prepare_value(self, value: Any) -> Any:
        """Return the value as indented text; invalid JSON as it was typed."""
        if isinstance(value, InvalidJSONInput):
            return value
        return json.dumps(value, indent=2, ensure_ascii=False)

    def to_python(self, value: Any) -> Any:
        """Return the value; ValidationError where a column of JSON does not keep it."""
        try:
            read = super().to_python(value)
        except (ValueError, RecursionError):
            raise forms.ValidationError(self.error_messages["invalid"]) from None
        check_json(read)
        return read


class WriteOnly(forms.Textarea):
    """A text area that never shows what was typed into it, even when the form comes back with a fault."""

    def format_value(self, value: Any) -> str:
        """Return nothing."""
        return ""


def text(
    label: Any, *, required: bool = True, rows: int = 0, initial: str = "", most: int | None = None
) -> forms.CharField:
    """Return a text field, of several rows if requested. most: characters; by default LINE for one row, else TEXT."""
    widget = forms.Textarea(attrs={"rows": rows}) if rows else forms.TextInput()
    most = most or (TEXT if rows else LINE)
    return forms.CharField(label=label, required=required, widget=widget, initial=initial, max_length=most)


def reason(instance: Any) -> Mapping[str, forms.Field]:
    """Return an optional reason."""
    return {"reason": text(_("reason"), required=False)}


def must(instance: Any) -> Mapping[str, forms.Field]:
    """Return a required reason."""
    return {"reason": text(_("reason"))}


def length(model: type[Model], name: str) -> int | None:
    """Return how many characters a column of a model holds."""
    longest: int | None = model._meta.get_field(name).max_length  # type: ignore[union-attr]
    return longest


def row(label: Any, model: type[Model], *, required: bool = True) -> forms.ModelChoiceField[Any]:
    """Return a choice of one row; the operation gets its primary key."""
    rows = model._default_manager.all()
    if model is Application:
        rows = rows.filter(retired=False)
    if paths_of(model):
        rows = within(rows, read_rights(access.current_account()).applications)
    return forms.ModelChoiceField(label=label, queryset=rows, required=required)
