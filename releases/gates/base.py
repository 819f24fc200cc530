"""The contract of a gate: a question about a release and an environment, answered pass, fail or unknown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from audit.clock import now
from environments.models import Environment
from releases.models import Fact, Procedure, Release
from releases.procedures.document import Procedure as Content
from releases.procedures.parts import Gate

Verdict = Literal["pass", "waived", "fail", "unknown"]
PASSING = ("pass", "waived")


@dataclass(frozen=True)
class Question:
    """What is asked: may this release run there at `at` (database time, aware)?"""

    release: Release
    environment: Environment
    procedure: Content
    at: datetime

    @property
    def emergency(self) -> bool:
        """Tell whether the release is an emergency."""
        return self.release.kind == Release.Kind.EMERGENCY


@dataclass(frozen=True)
class Answer:
    """What a gate says; unknown never passes. `anchor` is the place of the release page that would clear it."""

    gate: str
    verdict: Verdict
    reason: str
    anchor: str = ""
    label_ja: str = ""
    label_en: str = ""
    kind: str = ""

    @property
    def passes(self) -> bool:
        """Tell whether the run may go on as far as this gate is concerned."""
        return self.verdict in PASSING


Ask = Callable[[Question, Gate], Answer]


def passed(gate: Gate, reason: str = "", anchor: str = "") -> Answer:
    """Return a pass."""
    return Answer(gate.key, "pass", reason, anchor, gate.ja, gate.en, gate.kind)


def failed(gate: Gate, reason: str, anchor: str = "") -> Answer:
    """Return a fail with its sentence."""
    return Answer(gate.key, "fail", reason, anchor, gate.ja, gate.en, gate.kind)


def unknown(gate: Gate, reason: str, anchor: str = "") -> Answer:
    """Return unknown with its sentence."""
    return Answer(gate.key, "unknown", reason, anchor, gate.ja, gate.en, gate.kind)


def procedure_of(release: Release) -> Content:
    """Return the procedure that a release follows: the one it was fixed under, else the active one."""
    row = release.procedure or Procedure.objects.get(state="active")
    return row.document


def fresh_fact(question: Question, kind: str, seconds: float, environment: Environment | None = None) -> Fact | None:
    """Return a fact observed within the last `seconds`, or nothing; an hour asked about may lie far ahead."""
    fact = Fact.objects.filter(release=question.release, environment=environment, kind=kind).first()
    if fact is None or (now() - fact.observed_at).total_seconds() > seconds:
        return None
    return fact
