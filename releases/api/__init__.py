"""The API under /api/v1/: the admin's operations for service accounts by token. There is no second set of rules."""

from releases.api.site import api

__all__ = ["api"]
