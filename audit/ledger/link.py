"""Events get their numbers behind the write that they came with: the ledger signer links what is pending each second,
and every report that names numbers links it first.
"""

from typing import Any


def link_pending(connection: Any) -> int:
    """Link the events of all committed transactions into the chain; return how many there were.

    connection: of Django or psycopg. It waits for another one that is at it.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT ringi_link()")
        return int(cursor.fetchone()[0])
