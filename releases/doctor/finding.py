"""What one check of an installation found."""

from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """`warning`: it works, but not as an installation should; `unknown`: it could not be looked at."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """name: of what was looked at; words: what was found; advice: what to do, where the result is not ok."""

    name: str
    result: Result
    words: str
    advice: str = ""


def ok(name: str, words: str) -> Finding:
    """Return a finding without a fault."""
    return Finding(name, Result.OK, words)


def warning(name: str, words: str, advice: str) -> Finding:
    """Return a finding that somebody should mend."""
    return Finding(name, Result.WARNING, words, advice)


def failed(name: str, words: str, advice: str) -> Finding:
    """Return a finding that must be mended."""
    return Finding(name, Result.FAILED, words, advice)
