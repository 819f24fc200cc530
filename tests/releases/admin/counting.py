"""The count of the queries of one request."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from unittest.mock import patch

from django.db import connection
from django.test.utils import CaptureQueriesContext

from environments import idle


@contextmanager
def capture_queries() -> Iterator[CaptureQueriesContext]:
    """Capture the queries without the use of the session, which the first request of each minute writes."""
    with patch.object(idle, "KEPT", timedelta(days=1)), CaptureQueriesContext(connection) as caught:
        yield caught
