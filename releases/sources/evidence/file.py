"""Any file, kept with its digest as proof for people; no gate reads it, so it never passes one."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.translation import gettext as _

from releases.sources.evidence.base import EvidenceKind, Judgement, Reading


def read(content: bytes) -> Reading:
    """Keep the size; the rest is for people to read."""
    return Reading("file", {"bytes": len(content)}, _("%(bytes)d bytes, kept as they are.") % {"bytes": len(content)})


def judge(values: Mapping[str, str | int], limits: Mapping[str, str | int]) -> Judgement:
    """Say that nothing was judged."""
    return "unknown", _("A file of no known form is read by people only.")


KIND = EvidenceKind("file", read, judge)
