"""The one clock: the database's, so that a machine whose own clock is wrong changes nothing."""

from contextvars import ContextVar
from datetime import datetime

from django.db import connection

from audit.one_look import once_a_look

# The time of the open operation, so that all its rows agree.
operation_time: ContextVar[datetime | None] = ContextVar("ringi_operation_time", default=None)


def now() -> datetime:
    """Return the database's present time, aware, in UTC; inside an operation the time at which its rows were locked."""
    if (moment := operation_time.get()) is not None:
        return moment
    return database_time()


@once_a_look
def database_time() -> datetime:
    """Return the database's present time, aware, in UTC; it moves within a transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (moment,) = cursor.fetchone()
    assert isinstance(moment, datetime)
    return moment
