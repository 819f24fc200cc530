"""Queries a database with one statement that cannot write; called by the check type and the metric source `sql`."""

import re
from contextlib import closing
from itertools import islice
from typing import Annotated, Any

import psycopg
from psycopg import sql

from environments.targets.declared import AfterValidator, StringConstraints

READS = re.compile(r"\s*(select|with|values|table)\b", re.IGNORECASE)


def _reads(value: str) -> str:
    if not READS.match(value):
        raise ValueError("must begin with SELECT, WITH, VALUES or TABLE")
    return value


ReadStatement = Annotated[str, StringConstraints(max_length=4000), AfterValidator(_reads)]


def read_rows(url: str, statement: str, seconds: float, *, most: int) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return (names of the columns, at most so many rows) of one statement, within so many seconds on the server.

    It runs in a read-only transaction. Raises psycopg.Error, also for a text of several statements.
    """
    # The server's own deadline does nothing once the server is unreachable.
    with psycopg.connect(
        url,
        connect_timeout=max(2, round(seconds)),
        application_name="ringi",
        keepalives_idle=2,
        keepalives_interval=1,
        keepalives_count=3,
        tcp_user_timeout=int(seconds * 1000),
    ) as connection:
        connection.read_only = True
        milliseconds = sql.Literal(str(max(1, int(seconds * 1000))))
        connection.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(milliseconds))
        with connection.cursor() as cursor:
            # A stream is the extended protocol, which takes one statement: a second one could end the transaction. It
            # ends here, however many rows are left.
            stream: Any = cursor.stream(statement.encode(), size=most)
            with closing(stream):
                rows = list(islice(stream, most))
            columns = [column.name for column in cursor.description or ()]
        connection.rollback()
    return columns, rows
