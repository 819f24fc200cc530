"""Forgotten access reviews, one test a case."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from audit.clock import now
from environments.models import AccessGrant, AccessReview
from environments.operations.access_review.review import EVERY, open_review
from tests.releases.gates.asking import alter, make

DUE = "Access review due since"


def test_a_review_that_is_due_is_a_task(
    people: dict[str, Any], acting_as: Callable[..., Any], browsers: Callable[[str], Any]
) -> None:
    """A year after the last one was closed, or after the first grant where there was none, My tasks says so."""

    def asked(name: str) -> bool:
        return DUE in browsers(name).get("/admin/").content.decode()

    assert not asked("administrator"), "the installation is new"
    first = AccessGrant.objects.order_by("pk")[0]
    alter(first, created_at=now() - EVERY - timedelta(days=1))
    assert asked("administrator") and asked("second_administrator")
    assert not any(asked(name) for name in ("manager", "committee_a", "auditor", "developer"))
    with acting_as("administrator"):
        review = open_review(due_at=now() + timedelta(days=9), reason="this year")
    assert not asked("administrator"), "it is open, and waits there itself"
    alter(review, closed_at=now())
    assert not asked("administrator")
    alter(review, closed_at=now() - EVERY - timedelta(days=1))
    assert asked("administrator")
    make(AccessReview, due_at=now(), closed_at=now(), reason="another", opened_by=people["administrator"])
    assert not asked("administrator"), "the last one counts"
