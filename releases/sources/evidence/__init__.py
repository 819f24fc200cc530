"""Readers of evidence from hostile bytes: one file a kind, and one line a kind below. Actions and gates call it.

`read` takes a report's own values out of it, `judge` compares them with thresholds. What is missing or counts
nothing is unknown, never a pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import InvalidOperation

from django.utils.translation import gettext as _

from releases.sources.evidence import coverage, file, junit, performance, review, sarif, security_scan
from releases.sources.evidence.base import BadEvidence, EvidenceKind, Judgement, Outcome, Reading, Values

__all__ = ["KINDS", "LARGEST", "NAMES", "BadEvidence", "EvidenceKind", "Outcome", "Reading", "Values", "judge", "read"]

LARGEST = 10 * 1024 * 1024
KINDS: tuple[EvidenceKind, ...] = (
    junit.KIND,
    coverage.KIND,
    sarif.KIND,
    performance.KIND,
    review.KIND,
    security_scan.KIND,
    file.KIND,
)
NAMES = tuple(kind.name for kind in KINDS)
_KINDS = {kind.name: kind for kind in KINDS}


def read(kind: str, content: bytes) -> Reading:
    """Read a report of one of NAMES, at most LARGEST bytes. Raises BadEvidence."""
    found = _KINDS.get(kind)
    if found is None:
        raise BadEvidence(_("“%(kind)s” is not a kind of evidence.") % {"kind": kind})
    check_size(len(content))
    if not content.strip():
        raise BadEvidence(_("The file is empty."))
    return found.read(content)


def check_size(size: int) -> None:
    """Refuse a file by its size in bytes, before it is read. Raises BadEvidence."""
    if size > LARGEST:
        raise BadEvidence(_("The file is larger than %(size)d MB.") % {"size": LARGEST // 1024 // 1024})


def judge(kind: str, values: Mapping[str, str | int], thresholds: Mapping[str, str | int]) -> Judgement:
    """Compare values with thresholds (key → limit) and say why. A missing limit is unknown."""
    found = _KINDS.get(kind)
    if found is None:
        return "unknown", _("“%(kind)s” is not a kind of evidence.") % {"kind": kind}
    try:
        return found.judge(values, thresholds)
    except KeyError as absent:
        return "unknown", _("The value “%(name)s” is missing.") % {"name": absent.args[0]}
    except (ValueError, InvalidOperation, ZeroDivisionError, TypeError):
        return "unknown", _("The values cannot be compared.")
