"""One of many that fails alone: what a sweep does when a row of its round can't be dealt with."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import Error


@contextmanager
def apart(log: logging.Logger, words: str, *about: object) -> Iterator[None]:
    """Log what goes wrong inside, so that the others have their turn; a fault of the database is everybody's, and raised."""
    try:
        yield
    except Error:
        raise
    except Exception:
        log.exception(words, *about)
