"""Closing a year: by an auditor and an administrator, who see the same figures, once the ledger is verified."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from audit.actor import acting, current
from audit.clock import now
from audit.models import ClosedYear, Event, LedgerEntry, Verification
from audit.operation import operation, record_event
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible, SignatureRequired
from environments.access import SecondFactorRequired
from environments.models import AccessGrant, Environment
from environments.operations.access_review.review import open_review, undecided
from releases.admin.pages.access.page import reviews
from releases.models import Rollback
from releases.operations.year import close
from tests.releases.closed_years import VERIFIER, YEAR, Ended, again, database, deployment, ended, made
from tests.releases.gates.asking import alter, make

__all__ = ["again", "database", "deployment", "ended", "made"]


def test_two_people_close_a_year_and_both_sign_its_figures(ended: Ended) -> None:
    count = LedgerEntry.objects.count()
    row = ended.request()
    assert (row.first, row.last, row.confirmed_at) == (1, ended.last, None)
    assert row.checkpoint == ended.last and row.contents["holds"]["events"] == ended.last
    with ended.acting_as("auditor"), pytest.raises(NotPossible, match="already been requested"):
        close.request_closing(year=YEAR, reason="x")
    with ended.acting_as("administrator"):
        row = close.confirm_closing(row.pk)
        with pytest.raises(NotPossible, match="is closed"):
            close.confirm_closing(row.pk)
        with pytest.raises(NotPossible, match="is closed"):
            close.reject_closing(row.pk, reason="x")
    assert row.confirmed_person != row.requested_person
    events = Event.objects.filter(kind="operation", operation__startswith="year:").order_by("at")
    signed = [event.contents["after"]["signature"] for event in events]
    assert [one["meaning"] for one in signed] == ["year:request_closing", "year:confirm_closing"]
    assert signed[-1]["digest"] == row.digest and all(len(one["digest"]) == 64 for one in signed)
    assert LedgerEntry.objects.filter(number__lte=count).count() == count


@pytest.mark.parametrize("who", ["manager", "operator", "committee_a", "ci", "outsider", "administrator"])
def test_only_an_auditor_requests(ended: Ended, who: str) -> None:
    with ended.acting_as(who), pytest.raises(NotPermitted):
        close.request_closing(year=YEAR, reason="x")
    assert not ClosedYear.objects.exists()


@pytest.mark.parametrize("who", ["auditor", "manager", "committee_a", "ci", "outsider"])
def test_only_an_administrator_confirms(ended: Ended, who: str) -> None:
    row = ended.request()
    with ended.acting_as(who), pytest.raises(NotPermitted):
        close.confirm_closing(row.pk)
    assert ClosedYear.objects.get().confirmed_at is None


def test_a_year_concerns_production_so_both_signatures_ask_for_its_factor(ended: Ended) -> None:
    with acting(VERIFIER), operation("test:demand", (Environment, Environment.objects.get(slug="production").pk)) as op:
        op.get(Environment).requires_two_factor = True
    with ended.acting_as("auditor"), acting(replace(current(), method="password")):
        with pytest.raises(SecondFactorRequired):
            close.request_closing(year=YEAR, reason="x")
    assert not ClosedYear.objects.exists()
    with ended.acting_as("auditor"), acting(replace(current(), method="password+totp")):
        row = close.request_closing(year=YEAR, reason="x")
    with ended.acting_as("administrator"), acting(replace(current(), method="password")):
        with pytest.raises(SecondFactorRequired):
            close.confirm_closing(row.pk)


def test_both_sign_and_the_requester_says_why(ended: Ended) -> None:
    with ended.acting_as("auditor", proved=False), pytest.raises(SignatureRequired):
        close.request_closing(year=YEAR, reason="x")
    with ended.acting_as("auditor"), pytest.raises(InvalidInput):
        close.request_closing(year=YEAR, reason=" ")
    row = ended.request()
    with ended.acting_as("administrator", proved=False), pytest.raises(SignatureRequired):
        close.confirm_closing(row.pk)


def test_the_second_person_is_another_one_under_each_of_their_names(ended: Ended, people: dict[str, Any]) -> None:
    row = ended.request()
    alter(people["administrator"], former_identities=[row.requested_person])
    with ended.acting_as("administrator"), pytest.raises(NotPermitted, match="second person"):
        close.confirm_closing(row.pk)


def test_two_accounts_that_became_one_person_close_no_year(ended: Ended, people: dict[str, Any]) -> None:
    """What the request says of its requester is older than what is known now."""
    row = ended.request()
    for name in ("auditor", "administrator"):
        alter(people[name], employee_id="E-1", former_identities=[f"account:{people[name].pk}"])
    with ended.acting_as("administrator"), pytest.raises(NotPermitted, match="second person"):
        close.confirm_closing(row.pk)


def test_a_requester_without_the_role_counts_no_more(ended: Ended, people: dict[str, Any]) -> None:
    row = ended.request()
    for grant in AccessGrant.objects.filter(account=people["auditor"]):
        alter(grant, revoked_at=now())
    with ended.acting_as("administrator"), pytest.raises(GateNotPassed, match="no longer has the permission"):
        close.confirm_closing(row.pk)


def test_a_year_is_closed_only_when_it_is_over(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(close, "TRANSACTION", 3600)
    with ended.acting_as("auditor"), pytest.raises(NotPossible, match="not over"):
        close.request_closing(year=YEAR, reason="x")
    monkeypatch.setattr(close, "bounds", lambda year: (ended.until, now() + timedelta(hours=2)))
    with ended.acting_as("auditor"), pytest.raises(NotPossible, match="not over"):
        close.request_closing(year=YEAR, reason="x")


def test_years_are_closed_in_order_and_each_begins_behind_the_one_before(
    ended: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    for year, why in ((YEAR + 1, f"FY{YEAR} first"), (YEAR - 1, "began after it"), (10**9, "such as")):
        with ended.acting_as("auditor"), pytest.raises((NotPossible, InvalidInput), match=why):
            close.request_closing(year=year, reason="x")
    ended.closed()
    with ended.acting_as("auditor"), pytest.raises(NotPossible, match="already been requested"):
        close.request_closing(year=YEAR, reason="x")
    ended.sign()
    until = now()
    monkeypatch.setattr(close, "bounds", lambda year: (ended.until, until))
    ended.verify()
    with ended.acting_as("auditor"):
        row = close.request_closing(year=YEAR + 1, reason="x")
    assert (row.first, row.contents["holds"]["events"]) == (ended.last + 1, row.last - ended.last)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT max(l.number) FROM audit_ledgerentry l JOIN audit_event e ON e.id = l.event_id WHERE e.at < %s",
            [until],
        )
        assert cursor.fetchone() == (row.last,)


def test_a_ledger_that_does_not_verify_is_not_closed(ended: Ended) -> None:
    row = ended.request()
    failed = Verification.objects.order_by("-pk").first()
    assert failed is not None
    alter(failed, result="failed", number=3, finding="altered", digest="ab" * 32)
    with ended.acting_as("administrator"), pytest.raises(NotPossible, match="does not verify"):
        close.confirm_closing(row.pk)
    with ended.acting_as("auditor"):
        close.reject_closing(row.pk, reason="x")
        with pytest.raises(NotPossible, match="does not verify"):
            close.request_closing(year=YEAR, reason="x")


def test_a_year_is_not_closed_before_its_last_event_is_verified(ended: Ended) -> None:
    last = Verification.objects.order_by("-pk").first()
    assert last is not None
    for change in ({"signed": ended.last - 1}, {"signed": last.signed, "whole": False}):
        alter(last, **change)
        with ended.acting_as("auditor"), pytest.raises(NotPossible, match="not verified the events"):
            close.request_closing(year=YEAR, reason="x")
    alter(last, whole=True, result="inconclusive")
    with ended.acting_as("auditor"), pytest.raises(NotPossible, match="not verified the events"):
        close.request_closing(year=YEAR, reason="x")


def test_a_year_is_not_closed_while_the_ledger_signer_is_behind(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    from audit.actor import acting

    with acting(VERIFIER):
        record_event("audit:export_ledger")
    until = now()
    monkeypatch.setattr(close, "bounds", lambda year: (ended.until, until))
    with ended.acting_as("auditor"), pytest.raises(NotPossible, match="signer is behind"):
        close.request_closing(year=YEAR, reason="x")


def test_what_is_open_is_counted(ended: Ended, people: dict[str, Any], deployment: Any, monkeypatch: Any) -> None:
    with ended.acting_as("administrator"):
        review = open_review(due_at=now() + timedelta(days=1), reason="year")
    until = now()
    monkeypatch.setattr(close, "bounds", lambda year: (ended.until - timedelta(days=99), until))
    ended.sign()
    ended.verify()
    found = ended.request().contents
    assert found["open"]["grants"] == review.items.count() > 3
    assert found["open"]["releases"] == 1  # it is monitored
    assert found["open"]["days_without_time_stamp"] in (1, 2) and found["open"]["days_without_checkpoint"] == 0
    assert found["holds"]["deployments"] == 1 and found["holds"]["reviews"] == 1


def test_the_figures_count_as_the_list_of_the_archive_and_the_page_of_reviews_do(
    ended: Ended, people: dict[str, Any], deployment: Any, monkeypatch: Any
) -> None:
    with ended.acting_as("administrator"):
        review = open_review(due_at=now() + timedelta(days=1), reason="year")
    item = review.items.filter(grant__account=people["tester"])[0]
    alter(item.grant, until=now())
    make(Rollback, deployment=deployment, cause="manual", raised_at=now(), started_at=now())
    until = now()
    monkeypatch.setattr(close, "bounds", lambda year: (ended.until - timedelta(days=99), until))
    ended.sign()
    ended.verify()
    found = ended.request().contents
    assert found["holds"]["deployments"] == 2
    assert found["open"]["grants"] == len(undecided(review)) == review.items.count() - 1
    ((_review, _of, left, _late),) = reviews(now())
    assert left == found["open"]["grants"]


def test_a_rejected_request_leaves_the_year_open(ended: Ended) -> None:
    row = ended.request()
    with ended.acting_as("manager"), pytest.raises(NotPermitted):
        close.reject_closing(row.pk, reason="x")
    with ended.acting_as("administrator"):
        with pytest.raises(InvalidInput):
            close.reject_closing(row.pk, reason="")
        close.reject_closing(row.pk, reason="未完了のリリースがある")
        with pytest.raises(NotPossible, match="was rejected"):
            close.confirm_closing(row.pk)
    assert ended.closed().pk != row.pk


def test_an_archive_is_recorded_for_a_closed_year_only(ended: Ended) -> None:
    row = ended.request()
    with ended.acting_as("auditor"), pytest.raises(NotPossible, match="not closed this year"):
        close.record_archive(row.pk, digest="ab" * 32, length=9)
    with ended.acting_as("administrator"):
        close.confirm_closing(row.pk)
        with pytest.raises(NotPermitted):
            close.record_archive(row.pk, digest="ab" * 32, length=9)
    with ended.acting_as("auditor"):
        close.record_archive(row.pk, digest="ab" * 32, length=9)
        close.record_archive(row.pk, digest="ab" * 32, length=9)
        assert len(close.record_archive(row.pk, digest="cd" * 32, length=9).archives) == 2
