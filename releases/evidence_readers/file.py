"""Any file, kept with its digest as proof for people; no gate reads it, so it never passes one."""

from collections.abc import Mapping

from django.utils.translation import gettext as _

from releases.evidence_readers.base import Document, EvidenceType, Form, Judgement, Reading, Values


def read(document: Document) -> Reading:
    """Keep the size; the rest is for people to read."""
    values: Values = {"bytes": len(document.content)}
    return Reading(values, _("The file has %(bytes)d bytes and is stored unchanged.") % values)


def evaluate(values: Mapping[str, str | int], limits: Mapping[str, str | int]) -> Judgement:
    """Report that nothing was evaluated."""
    return "unknown", _("Ringi does not evaluate this file format; a person must read the file.")


KIND = EvidenceType("file", evaluate)
FORM = Form("file", "any file", "…", lambda document: True, read)
