"""The verb on the definition: its next version, from a ZIP file of its folder."""

import io
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

from django import forms
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy as _

from releases.admin.operations.base import Verb
from releases.admin.operations.fields import length, text
from releases.admin.operations.people import co_authors
from releases.models import Definition
from releases.operations.definition.load import load
from releases.queries.definition_files import MOST_BYTES

MOST_FILES = 5000
FOLDERS = frozenset({"applications", "processes", "procedure", "procedures"})


def _fields(instance: Any) -> Mapping[str, forms.Field]:
    archive = forms.FileField(label=_("folder as a ZIP file"))
    archive.help_text = _("The names in the archive are those of the folder, such as applications/shop.toml.")
    return {"archive": archive, "writers": co_authors(), "reason": text(_("reason"), most=length(Definition, "reason"))}


def _load(*, archive: Any, writers: Any, reason: str) -> Definition:
    return load(texts_in(archive.read()), reason=reason, writers={person.pk for person in writers})


def texts_in(archive: bytes) -> dict[str, str]:
    """Return path → text of the TOML files in a ZIP archive. Raises ValidationError."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            names = [info for info in opened.infolist() if info.filename.endswith(".toml")]
            if len(names) > MOST_FILES or sum(info.file_size for info in names) > MOST_BYTES:
                raise forms.ValidationError(gettext("The archive is too large."))
            tops = {info.filename.partition("/")[0] for info in names}
            # Archives of repositories have everything in one folder.
            above = f"{tops.pop()}/" if len(tops) == 1 and not tops & FOLDERS else ""
            found = {info.filename.removeprefix(above): _text_of(opened, info) for info in names}
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, ValueError) as wrong:
        raise forms.ValidationError(gettext("This is not a ZIP file of UTF-8 texts.")) from wrong
    if not found:
        raise forms.ValidationError(gettext("The archive contains no TOML file."))
    return found


def _text_of(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    """Return a file's text, of which no more is inflated than its size in the directory says. Raises ValueError."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("another compression")
    with opened.open(info) as file:
        content = file.read(info.file_size + 1)
    if len(content) != info.file_size:
        raise ValueError("another size than the directory says")
    return content.decode("utf-8-sig")


VERBS: tuple[Verb, ...] = (
    Verb(
        "definition",
        "load",
        _("Load definition"),
        _load,
        ("plan",),
        fields=_fields,
        for_all=True,
        page=lambda row: reverse("definition"),
    ),
)
