"""The form of a deployment target's options: a labelled field for each option of the schema, in groups, as the file
beside it lists them.
"""

import json
import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from django import forms
from django.utils.translation import gettext as _, gettext_lazy

from environments.language import bilingual
from releases.admin.operations.fields import LinesField, check_json, check_nul
from releases.queries.target_schema import LONGEST, faults_by_key

_PLAIN = re.compile(r"[^\s'\"\\]+\Z")


class CommandField(forms.CharField):
    """A command on one line, quoted as in a shell; the value is a tuple of words."""

    def to_python(self, value: Any) -> Any:
        """Return the words."""
        check_nul(str(value or ""))
        try:
            return tuple(shlex.split(str(value or "")))
        except ValueError as wrong:
            raise forms.ValidationError(_("A quotation mark is not closed, or a backslash ends the line.")) from wrong

    def prepare_value(self, value: Any) -> Any:
        """Return a list of words as a line; only words that need quotes are quoted."""
        if isinstance(value, list | tuple):
            return " ".join(word if _PLAIN.match(word) else shlex.quote(word) for word in value)
        return value


class TextOrObjectField(forms.CharField):
    """A text, or a JSON object where it begins with a brace."""

    widget = forms.Textarea(attrs={"rows": 5, "spellcheck": "false"})

    def to_python(self, value: Any) -> Any:
        """Return the text or the object."""
        text = str(value or "").strip()
        if not text.startswith("{"):
            return str(value or "").strip("\r\n").replace("\r\n", "\n")
        try:
            read = json.loads(text)
        except json.JSONDecodeError as wrong:
            where = {"line": wrong.lineno, "column": wrong.colno, "fault": wrong.msg}
            message = _("This is not valid JSON: line %(line)s, column %(column)s: %(fault)s") % where
            raise forms.ValidationError(message) from wrong
        except (ValueError, RecursionError):
            raise forms.ValidationError(forms.JSONField.default_error_messages["invalid"]) from None
        check_json(read)
        return read

    def prepare_value(self, value: Any) -> Any:
        """Return an object as indented JSON."""
        return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict) else value


@dataclass(frozen=True)
class Entry:
    """One option as the form shows it. kind: line, command, number, whole, yes, format, lines or inventory."""

    key: str
    label: Any
    example: str
    help: Any
    kind: str


@dataclass(frozen=True)
class Group:
    """Options that belong together; a rarely used group is folded up until one of its options has a value."""

    title: Any
    rare: bool
    options: tuple[Entry, ...]


_FORMATS = (
    ("", "env (shared/config.env)"),
    ("toml", "toml"),
    ("yaml", "yaml"),
    ("json", "json"),
    ("command", gettext_lazy("commands of your own")),
)
# Options with pages of their own.
ELSEWHERE = ("metric_sources", "http_hosts", "private_networks")


def _entry(row: Mapping[str, Any]) -> Entry:
    help_text = bilingual(row["help_en"], row["help_ja"]) if "help_en" in row else ""
    label = bilingual(row["en"], row["ja"])
    return Entry(row["key"], label, row.get("example", ""), help_text, row.get("kind", "line"))


SHEET = tuple(
    Group(bilingual(row["en"], row["ja"]), row.get("rare", False), tuple(map(_entry, row["option"])))
    for name in ("target_form_service.toml", "target_form.toml")
    for row in tomllib.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))["group"]
)


def fields_of(settings: Mapping[str, Any]) -> dict[str, forms.Field]:
    """Return the fields of the form by the dotted names of the options, with the values of `settings`."""
    fields: dict[str, forms.Field] = {}
    for group in SHEET:
        own = {row.key: _field(row, value_at(settings, row.key)) for row in group.options}
        used = any(field.initial not in (None, "", (), False) for field in own.values())
        shown = replace(group, rare=group.rare and not used)
        for field in own.values():
            setattr(field, "group", shown)  # noqa: B010  read by the template
        fields |= own
    return fields


def _field(row: Entry, value: Any) -> forms.Field:
    kinds: dict[str, type[forms.Field]] = {
        "command": CommandField,
        "number": forms.FloatField,
        "whole": forms.IntegerField,
        "lines": LinesField,
        "inventory": TextOrObjectField,
        "yes": forms.BooleanField,
    }
    if row.kind == "lines":
        value = "\n".join([value] if isinstance(value, str) else value or ())
    options = {"label": row.label, "required": False, "initial": value, "help_text": row.help}
    if row.kind == "line":
        options["max_length"] = LONGEST
    if row.kind == "format":
        options["initial"] = "" if value == "env" else value
        field: forms.Field = forms.ChoiceField(choices=_FORMATS, **options)
    else:
        field = kinds.get(row.kind, forms.CharField)(**options)
        field.widget.attrs |= {"placeholder": row.example, "spellcheck": "false"} if row.example else {}
    setattr(field, "key", row.key)  # noqa: B010  read by the template
    return field


def value_at(settings: Mapping[str, Any], key: str) -> Any:
    """Return the value of a dotted name; None where there is none."""
    found: Any = settings
    for name in key.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def settings_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options from the form's values (by dotted name), without empty ones. Raises ValidationError."""
    settings: dict[str, Any] = {}
    for key, value in values.items():
        if value is False or value in (None, "", (), {}):
            continue
        *above, name = key.split(".")
        part = settings
        for one in above:
            part = part.setdefault(one, {})
        part[name] = list(value) if isinstance(value, tuple) else value
    faults: dict[str, list[str]] = {}
    for key, sentences in faults_by_key(settings).items():
        # A fault of a whole part is shown at its first field.
        own = key if key in values else next((known for known in values if known.startswith(f"{key}.")), "__all__")
        faults.setdefault(own, []).extend(sentences)
    if faults:
        raise forms.ValidationError(faults)  # type: ignore[arg-type]
    return settings
