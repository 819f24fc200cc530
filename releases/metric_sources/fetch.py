"""Requests an HTTP address for a target, with its listed networks and certificates; called by sources and checks."""

from collections.abc import Mapping

from environments.connectivity.addresses import listed_by
from environments.targets.base import TargetSpec
from releases.sources.exchange import Fetched, NoAnswer, TooSlow, fetch

__all__ = ["Fetched", "NoAnswer", "TooSlow", "ask", "fetch"]


def ask(url: str, target: TargetSpec, *, seconds: float, headers: Mapping[str, str] | None = None) -> Fetched:
    """Request for a target: it lists its private networks and, as `trusted_certificates`, its trusted PEM file. Raises
    TooSlow, NoAnswer.
    """
    trusted = str(target.settings.get("trusted_certificates", ""))
    return fetch(url, seconds=seconds, listed=listed_by(target.settings), headers=headers, trusted=trusted)
