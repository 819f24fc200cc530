"""The one clock: the database's, so that a machine whose own clock is wrong changes nothing."""

from datetime import datetime

from django.db import connection


def now() -> datetime:
    """Return the database's present time, aware, in UTC; it moves within a transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (moment,) = cursor.fetchone()
    assert isinstance(moment, datetime)
    return moment
