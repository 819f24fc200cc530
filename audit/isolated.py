"""Isolation of failures: a row that fails in a poll does not keep the other rows from their turn."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import InterfaceError, OperationalError, connection


@contextmanager
def isolated(log: logging.Logger, words: str, *about: object) -> Iterator[None]:
    """Log an exception inside the block, so that the other rows have their turn. A lost connection concerns all rows
    and is raised; a constraint, a deadlock or a time limit concerns one row only.
    """
    try:
        yield
    except Exception:
        if connection_lost():
            raise
        log.exception(words, *about)


def connection_lost() -> bool:
    """Tell whether the database's connection of this thread is gone, so that nothing can be asked on it."""
    return connection.connection is None or bool(connection.connection.closed)


def is_unavailable(fault: BaseException | None) -> bool:
    """Tell whether an exception means that the database is down, or takes no writes."""
    read_only = fault is not None and getattr(fault.__cause__, "sqlstate", "") == "25006"
    return read_only or isinstance(fault, OperationalError | InterfaceError)
