"""Asks an HTTP address for a target, with what the target lists and trusts; called by metric sources and by checks."""

from collections.abc import Mapping

from environments.connectivity.addresses import listed_by
from environments.targets.base import TargetSpec
from releases.sources.exchange import Fetched, NoAnswer, TooSlow, fetch

__all__ = ["Fetched", "NoAnswer", "TooSlow", "ask", "fetch"]


def ask(url: str, target: TargetSpec, *, seconds: float, headers: Mapping[str, str] | None = None) -> Fetched:
    """Ask for a target: it lists its private networks and, as `trusted_certificates`, whom it trusts (PEM file). Raises
    TooSlow, NoAnswer.
    """
    trusted = str(target.settings.get("trusted_certificates", ""))
    return fetch(url, seconds=seconds, listed=listed_by(target.settings), headers=headers, trusted=trusted)
