"""A statement about one subject: whether it holds, and until when (a training record, a legal clearance …)."""

from collections.abc import Mapping
from datetime import UTC, datetime

from django.utils.translation import gettext as _

from releases.evidence_readers.base import (
    BadEvidence,
    Document,
    EvidenceType,
    Form,
    Judgement,
    Reading,
    Values,
    words_of,
)


def read(document: Document) -> Reading:
    """Return subject and result, with `valid_until` (ISO 8601, UTC) and `note` where the statement names them."""
    statement = document.object
    values: Values = {"subject": words_of(statement, "subject"), "result": words_of(statement, "result")}
    if values["result"] not in ("passed", "failed"):
        raise BadEvidence(_("The “result” of a statement must be “passed” or “failed”."))
    if "valid_until" in statement:
        values["valid_until"] = _end(words_of(statement, "valid_until"))
    if "note" in statement:
        values["note"] = words_of(statement, "note")
    return Reading(values, said(values), str(values["subject"]))


def said(values: Mapping[str, str | int]) -> str:
    """Return a statement as people read it."""
    text = _("%(subject)s: %(result)s") % {"subject": values["subject"], "result": _words(values["result"])}
    return f"{text} · {values['note']}" if "note" in values else text


def _words(result: str | int) -> str:
    return _("passed") if result == "passed" else _("not passed")


def _end(text: str) -> str:
    try:
        end = datetime.fromisoformat(text)
    except ValueError:
        raise BadEvidence(_("“valid_until” is not a time such as 2027-03-31T23:59:00Z.")) from None
    if end.tzinfo is None:
        raise BadEvidence(_("“valid_until” names no time zone; add Z for UTC, or an offset."))
    return end.astimezone(UTC).isoformat()


def evaluate(values: Mapping[str, str | int], limits: Mapping[str, str | int]) -> Judgement:
    """Pass what says so; its end is compared with the time of a deployment by the gate."""
    return "passed" if values["result"] == "passed" else "failed", said(values)


# The last statement about a subject counts, whatever the file's name.
KIND = EvidenceType("statement", evaluate, named=False)
FORM = Form(
    "statement",
    "statement",
    '{"subject": "training", "result": "passed", "valid_until": "2027-03-31T23:59:00Z"}',
    lambda document: "subject" in document.object and "result" in document.object,
    read,
)
