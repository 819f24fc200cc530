"""One of many that fails alone: what a sweep does when a row of its round can't be dealt with."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import InterfaceError, OperationalError


@contextmanager
def apart(log: logging.Logger, words: str, *about: object) -> Iterator[None]:
    """Log what goes wrong inside, so that the others have their turn; a fault of the database's connection is everybody's,
    and raised. What the database refuses about one row is that row's own.
    """
    try:
        yield
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception(words, *about)
