"""The evidence of one clean change."""

from __future__ import annotations

from tests.releases.audited import again, database, deployment, made

__all__ = ["again", "database", "made", "deployment"]
