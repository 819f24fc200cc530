"""The contract of a kind of evidence: a reader of hostile bytes and a judge of values; and how XML and JSON are read."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from django.utils.translation import gettext as _

Values = dict[str, str | int]
Outcome = Literal["pass", "fail", "unknown"]
Judgement = tuple[Outcome, str]


class BadEvidence(ValueError):
    """A file that is no evidence of its kind; the message is shown to people."""


@dataclass(frozen=True)
class Reading:
    """What a report says: its values as they stand in it, and one sentence for people."""

    kind: str
    values: Values
    sentence: str


@dataclass(frozen=True)
class EvidenceKind:
    """One kind. `read` takes the bytes, or raises BadEvidence; `judge` compares values with thresholds (key → limit).

    A judge may raise KeyError for a value or limit that is missing: that is unknown.
    """

    name: str
    read: Callable[[bytes], Reading]
    judge: Callable[[Mapping[str, str | int], Mapping[str, str | int]], Judgement]


def read_xml(content: bytes) -> Element:
    """Return the root of an XML document without entities. Raises BadEvidence."""
    try:
        # A coverage file names its document type, so that is allowed; entities and what lies outside are not.
        root: Element = fromstring(content, forbid_dtd=False, forbid_entities=True, forbid_external=True)
    except DefusedXmlException:
        raise BadEvidence(_("The XML file declares entities, which are not read.")) from None
    except (ParseError, LookupError, ValueError) as fault:
        raise BadEvidence(_("The file is not well-formed XML: %(fault)s.") % {"fault": fault}) from None
    return root


def read_json(content: bytes) -> Any:
    """Return a JSON document in UTF-8 with decimals kept exact; a name twice, NaN and Infinity raise BadEvidence."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        named = dict(pairs)
        if len(named) != len(pairs):
            raise BadEvidence(_("A name stands twice in one JSON object."))
        return named

    def constant(name: str) -> Any:
        raise BadEvidence(_("%(name)s is not a number.") % {"name": name})

    try:
        return json.loads(
            content.decode("utf-8-sig"),
            parse_float=Decimal,
            parse_constant=constant,
            object_pairs_hook=unique,
        )
    except UnicodeDecodeError:
        raise BadEvidence(_("The file is not UTF-8.")) from None
    except BadEvidence:
        raise
    except (ValueError, RecursionError, InvalidOperation):
        raise BadEvidence(_("The file is not JSON.")) from None


def read_statement(content: bytes) -> dict[str, Any]:
    """Return a statement: one JSON object."""
    statement = read_json(content)
    if not isinstance(statement, dict):
        raise BadEvidence(_("The statement is not a JSON object."))
    return statement


def words_of(statement: dict[str, Any], name: str) -> str:
    """Return the text that a statement gives under `name`, at most 200 characters. Raises BadEvidence."""
    value = statement.get(name)
    if not isinstance(value, str) or not value.strip() or any(unicodedata.category(c) in ("Cc", "Cs") for c in value):
        raise BadEvidence(_("The statement does not say “%(name)s”.") % {"name": name})
    return value.strip()[:200]


def seconds_of(raw: Any, name: str) -> str:
    """Return a time in seconds above zero as decimal text, at most 12 places. Raises BadEvidence."""
    try:
        number = Decimal(raw) if isinstance(raw, int | str | Decimal) and not isinstance(raw, bool) else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite() or not 0 < number < 10**9 or number.adjusted() < -12:
        raise BadEvidence(_("“%(name)s” is not a time in seconds above zero.") % {"name": name})
    return f"{number:.12f}".rstrip("0").rstrip(".")


def count_of(root: Element, name: str) -> int | None:
    """Return the count that an attribute states, or None without one. Raises BadEvidence."""
    text = root.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise BadEvidence(_("“%(name)s” is not a count: %(text)s.") % {"name": name, "text": text[:40]})
    return int(text)
