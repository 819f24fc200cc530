"""The API under /api/v1/: the same actions as the admin, for service accounts by token. No second set of rules."""

from releases.api.site import api

__all__ = ["api"]
