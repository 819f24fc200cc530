"""An access review: every grant in effect is kept or revoked by another person, with a due date."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from audit.clock import now
from audit.models import Event
from audit.refusals import InvalidInput, NotPermitted, NotPossible, SignatureRequired
from environments import access
from environments.models import AccessGrant, AccessReview, AccessReviewItem
from environments.operations.access.grant import request_role, revoke as end_grant
from environments.operations.access_review.review import close, keep, open_review, revoke, undecided
from tests.releases.gates.asking import alter


@pytest.fixture
def review(acting_as: Callable[..., Any]) -> AccessReview:
    with acting_as("administrator"):
        return open_review(due_at=now() + timedelta(days=14), reason="second half of the year")


def item_of(review: AccessReview, account: Any, role: str) -> AccessReviewItem:
    return review.items.get(grant__account=account, grant__role=role)


def test_it_collects_every_grant_in_effect(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    with acting_as("administrator"):
        unconfirmed = request_role(people["outsider"].pk, role="committee", reason="new")
        later = request_role(people["outsider"].pk, role="tester", reason="later", starts_at=now() + timedelta(days=1))
        ended = AccessGrant.objects.get(account=people["tester"])
        end_grant(ended.pk, reason="left")
        review = open_review(due_at=now() + timedelta(days=14), reason="half-year")
    held = set(review.items.values_list("grant", flat=True))
    assert held == set(AccessGrant.objects.in_effect().values_list("pk", flat=True))
    assert not held & {unconfirmed.pk, later.pk, ended.pk}


def test_it_collects_grants_that_count_again_with_two_factor_authentication(
    people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    """Without it the role rests; it needs no other person to count again."""
    alter(people["committee_a"], enrolled_at=None)
    assert not AccessGrant.objects.in_effect().filter(account=people["committee_a"]).exists()
    with acting_as("administrator"):
        review = open_review(due_at=now() + timedelta(days=14), reason="half-year")
        assert item_of(review, people["committee_a"], "committee") in undecided(review)
    alter(people["committee_a"], enrolled_at=now())
    assert AccessGrant.objects.in_effect().filter(account=people["committee_a"]).exists()


def test_only_somebody_who_may_grant_reviews(acting_as: Callable[..., Any], review: AccessReview) -> None:
    item = review.items.filter(grant__role="tester").get()
    for name in ("manager", "committee_a", "auditor", "operator", "outsider"):
        with acting_as(name):
            for attempt in (
                lambda: keep(item.pk),
                lambda: revoke(item.pk, note="no"),
                lambda: close(review.pk),
                lambda: open_review(due_at=now() + timedelta(days=1), reason="x"),
            ):
                with pytest.raises(NotPermitted):
                    attempt()
    with acting_as("administrator", proved=False), pytest.raises(SignatureRequired):
        keep(item.pk)


def test_ending_in_a_review_holds_at_once(
    people: dict[str, Any], acting_as: Callable[..., Any], review: AccessReview
) -> None:
    item = item_of(review, people["tester"], "tester")
    with acting_as("administrator"):
        with pytest.raises(InvalidInput, match="reason"):
            revoke(item.pk, note=" ")
        assert access.may(people["tester"], "upload_evidence")
        revoke(item.pk, note="changed teams")
        for again in (lambda: keep(item.pk), lambda: revoke(item.pk, note="x")):
            with pytest.raises(NotPossible):
                again()
    assert not access.may(people["tester"], "upload_evidence")
    item.refresh_from_db()
    assert (item.result, item.decided_by, item.note) == ("revoke", people["administrator"], "changed teams")


def test_reviewing_ones_own_grant_is_refused(
    people: dict[str, Any], acting_as: Callable[..., Any], review: AccessReview
) -> None:
    own = item_of(review, people["administrator"], "administrator")
    with acting_as("administrator"):
        for attempt in (lambda: keep(own.pk), lambda: revoke(own.pk, note="x")):
            with pytest.raises(NotPermitted, match="own"):
                attempt()
    with acting_as("second_administrator"):
        assert keep(own.pk, note="still in office").result == "keep"


def test_it_closes_when_everything_is_decided(
    people: dict[str, Any], acting_as: Callable[..., Any], review: AccessReview
) -> None:
    with acting_as("administrator"):
        with pytest.raises(NotPossible, match="undecided"):
            close(review.pk)
        with pytest.raises(NotPossible, match="open already"):
            open_review(due_at=now() + timedelta(days=1), reason="another")
    for item in undecided(review):
        reviewer = "second_administrator" if item.grant.account == people["administrator"] else "administrator"
        with acting_as(reviewer):
            if item.grant.account == people["developer"]:
                end_grant(item.grant_id, reason="left in the meantime: needs no word any more")
            else:
                keep(item.pk)
    with acting_as("administrator"):
        close(review.pk)
        with pytest.raises(NotPossible):
            close(review.pk)
        assert open_review(due_at=now() + timedelta(days=1), reason="the next").pk != review.pk
    signed = Event.objects.filter(operation="access_review:keep", kind="operation").count()
    assert signed == review.items.filter(result="keep").count() > 5


def test_a_review_has_a_reason_and_a_due_date_ahead(acting_as: Callable[..., Any]) -> None:
    with acting_as("administrator"):
        with pytest.raises(InvalidInput, match="past"):
            open_review(due_at=now() - timedelta(seconds=1), reason="x")
        with pytest.raises(InvalidInput, match="reason"):
            open_review(due_at=now() + timedelta(days=1), reason=" ")
    assert not AccessReview.objects.exists()
