"""The contract of evidence: a type evaluates values; the content of a report identifies its form, which reads them.

A reader is a file with one FORM and a line in FORMS; it gets hostile bytes as a Document and raises BadEvidence.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any, Literal
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from django.utils.translation import gettext as _

_DECLARED = re.compile(rb"""(\s*<\?xml[^>]{0,80}?encoding\s*=\s*["'])([-\w]{1,40})""", re.ASCII)
_JAPANESE = {
    **dict.fromkeys(("shift-jis", "sjis", "x-sjis", "windows-31j", "cp932", "ms932"), "cp932"),
    **dict.fromkeys(("euc-jp", "x-euc-jp"), "euc_jp"),
    "iso-2022-jp": "iso2022_jp",
}

Values = dict[str, str | int]
Outcome = Literal["passed", "failed", "unknown"]
Judgement = tuple[Outcome, str]


class BadEvidence(ValueError):
    """A file that is no evidence of its type; the message is shown to people."""


@dataclass(frozen=True)
class Reading:
    """The content of a report: its values as written, one summary for people, and the tool that wrote it.

    `parts` are the report's subjects (tests, tools; without any, the tool alone), `failing` the parts with
    a fault.
    """

    values: Values
    summary: str
    tool: str = ""
    parts: frozenset[str] = frozenset()
    failing: frozenset[str] = frozenset()

    @property
    def speaks_of(self) -> frozenset[str]:
        """The subjects of the report."""
        return self.parts or frozenset({self.tool})

    @property
    def must_be_repeated(self) -> frozenset[str]:
        """The parts that newer reports must cover before this one stops counting: its failures, else everything."""
        return self.failing or self.speaks_of


class Document:
    """An uploaded file, read as XML or JSON once and only when a form asks."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._start = content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]

    @cached_property
    def root(self) -> Element | None:
        """The root of an XML document; None for a file that does not look like one. Raises BadEvidence."""
        utf16 = self.content[:2] in (b"\xff\xfe", b"\xfe\xff")
        return read_xml(self.content) if utf16 or self._start == b"<" else None

    @cached_property
    def json(self) -> Any:
        """The JSON object or array; None for a file that does not look like one. Raises BadEvidence."""
        return read_json(self.content) if self._start in (b"{", b"[") else None

    @property
    def object(self) -> dict[str, Any]:
        """The JSON object; empty for anything else. Raises BadEvidence."""
        return self.json if isinstance(self.json, dict) else {}

    @cached_property
    def text(self) -> str:
        """The text in UTF-8; empty for other bytes."""
        try:
            return self.content.decode("utf-8-sig")
        except UnicodeDecodeError:
            return ""


@dataclass(frozen=True)
class Form:
    """One form of report. `fits` identifies it by its content; `read` extracts its values, or raises BadEvidence.

    `label` is its name for people, `example` its beginning in one line; a refusal shows both.
    """

    kind: str
    label: str
    example: str
    fits: Callable[[Document], bool]
    read: Callable[[Document], Reading]


@dataclass(frozen=True)
class EvidenceType:
    """One evidence type. `evaluate` compares values with thresholds (key → limit); a missing one may raise KeyError.

    `adds`: counts whose sum over all counting reports is evaluated too. `says_nothing`: values that add nothing
    beside other reports. `named`: the names of their files distinguish reports too.
    """

    name: str
    evaluate: Callable[[Mapping[str, str | int], Mapping[str, str | int]], Judgement]
    adds: tuple[str, ...] = ()
    says_nothing: Callable[[Mapping[str, str | int]], bool] = lambda values: False
    named: bool = True


def read_xml(content: bytes) -> Element:
    """Return the root of an XML document without entities; Japanese encodings too. Raises BadEvidence."""
    declared = _DECLARED.match(content)
    codec = _JAPANESE.get(declared[2].decode().lower().replace("_", "-")) if declared else None
    try:
        if declared and codec:
            # The XML parser reads one-byte encodings and Unicode only.
            content = declared[1] + b"utf-8" + content[declared.end(2) :].decode(codec).encode()
        # A coverage file names its document type, so that is allowed; entities and external content are not.
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
            raise BadEvidence(_("One JSON object contains the same name twice."))
        return named

    def constant(name: str) -> Any:
        raise BadEvidence(_("%(name)s is not a number.") % {"name": name})

    try:
        return json.loads(
            content.decode("utf-8-sig"), parse_float=Decimal, parse_constant=constant, object_pairs_hook=unique
        )
    except UnicodeDecodeError:
        raise BadEvidence(_("The file is not UTF-8.")) from None
    except BadEvidence:
        raise
    except (ValueError, RecursionError, InvalidOperation):
        raise BadEvidence(_("The file is not JSON.")) from None


def words_of(statement: dict[str, Any], name: str) -> str:
    """Return the text of a statement under `name`, at most 200 characters. Raises BadEvidence."""
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
    """Return the count in an attribute, or None without one. Raises BadEvidence."""
    text = root.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise BadEvidence(_("“%(name)s” is not a count: %(text)s.") % {"name": name, "text": text[:40]})
    return int(text)
