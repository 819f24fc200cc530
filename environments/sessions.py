"""Sessions in the database that know when they were used last.

Each use moves the end of a session (`expire_date`) in one UPDATE. Its contents are not written: a page that was loaded
before a signature would write the proof of identity back that the signature has used up.
"""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore as StoreInDatabase

# Marks a visitor whose session has ended, for the sentence on the sign-in page.
ENDED = "ringi_session_ended"


class SessionStore(StoreInDatabase):
    """used_at: when the session was used last, as it was read; None for one that was not read."""

    used_at: datetime | None = None

    def _get_session_from_db(self) -> Any:
        row = super()._get_session_from_db()  # type: ignore[misc]  # what the stubs leave out
        self.used_at = last_used(row.expire_date) if row is not None else None
        return row

    @property
    def ended_unused(self) -> bool:
        """Whether the session before this one ended because it was not used."""
        return bool(self.get(ENDED))

    def use(self, moment: datetime) -> None:
        """Let the session end so much later."""
        self.model.objects.filter(pk=self.session_key).update(expire_date=moment + _lasts())


def last_used(end: datetime) -> datetime:
    """Return when a session was used last, by its end."""
    return end - _lasts()


def _lasts() -> timedelta:
    return timedelta(seconds=settings.SESSION_COOKIE_AGE)
