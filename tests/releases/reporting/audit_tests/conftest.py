"""The saved tests over one clean change, copied for each test."""

from __future__ import annotations

from tests.releases.audited import again, database, deployment, made

__all__ = ["again", "database", "made", "deployment"]
