"""The pages of closed years: what both people see before they sign, and the end of each year's retention."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse

from audit.clock import now
from audit.models import ClosedYear
from tests.releases.closed_years import YEAR, Ended, again, database, deployment, ended, made
from tests.releases.gates.asking import alter

__all__ = ["again", "database", "deployment", "ended", "made"]


def post(client: Any, address: str, **values: Any) -> Any:
    """Send a form; confirm the preview that comes back."""
    shown = client.post(address, values)
    assert shown.status_code == 200, shown.content.decode()
    return shown, client.post(address, {**values, "confirmed": shown.context["confirmed"]})


def test_both_people_see_the_figures_before_they_sign(ended: Ended, browsers: Callable[[str], Any]) -> None:
    page = browsers("auditor").get(reverse("closed-years"))
    assert page.status_code == 200 and f"FY{YEAR}" in page.content.decode()
    assert [b.key for b in page.context["give"]] == ["year:request_closing"]
    asked = reverse("operation-new", args=["year", "request_closing"])
    shown, done = post(browsers("auditor"), asked, year=YEAR, reason="年度末")
    assert dict(shown.context["preview"])["events"] == str(ended.last)
    assert any("under way" in name for name, _value in shown.context["preview"])
    row = ClosedYear.objects.get()
    assert done.status_code == 302 and done["Location"] == reverse("closed-year", args=[row.pk])
    page = browsers("administrator").get(reverse("closed-year", args=[row.pk])).content.decode()
    assert 'data-verb="year:confirm_closing"' in page and 'data-verb="year:reject_closing"' in page
    assert "year:confirm_closing" not in browsers("auditor").get(reverse("closed-year", args=[row.pk])).content.decode()
    confirm = reverse("operation", args=["year", "confirm_closing", row.pk])
    shown, done = post(browsers("administrator"), confirm)
    assert dict(shown.context["preview"])["numbers of the events"] == f"1 to {ended.last}" and done.status_code == 302
    row.refresh_from_db()
    assert row.confirmed_at is not None
    page = browsers("auditor").get(reverse("closed-year", args=[row.pk])).content.decode()
    assert row.digest in page and "archive_year" in page and reverse("year-archive", args=[row.pk]) in page
    assert (
        "Download archive" not in browsers("administrator").get(reverse("closed-year", args=[row.pk])).content.decode()
    )


@pytest.mark.parametrize("who", ["developer", "manager", "operator", "committee_a"])
def test_nobody_else_sees_the_pages(ended: Ended, browsers: Callable[[str], Any], who: str) -> None:
    row = ended.request()
    for page in (reverse("closed-years"), reverse("closed-year", args=[row.pk])):
        assert browsers(who).get(page).status_code == 403


def test_the_page_says_why_a_year_cannot_be_closed(
    ended: Ended, browsers: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from releases.operations.year import close

    monkeypatch.setattr(close, "TRANSACTION", 9999)
    page = browsers("auditor").get(reverse("closed-years"))
    assert page.context["give"] == [] and f"FY{YEAR} is not over yet." in page.content.decode()


def test_a_year_past_its_retention_is_marked_with_its_end(ended: Ended, browsers: Callable[[str], Any]) -> None:
    row = ended.closed()
    ((_row, until, over),) = browsers("auditor").get(reverse("closed-years")).context["rows"]
    assert (until.year, over) == (row.until.year + 7, False)
    alter(row, until=now() - timedelta(days=365 * 7 + 3))
    page = browsers("auditor").get(reverse("closed-years"))
    assert page.context["rows"][0][2] and "past their retention" in page.content.decode()


def test_a_requested_year_is_a_task_of_another_administrator(ended: Ended, browsers: Callable[[str], Any]) -> None:
    row = ended.request()
    page = browsers("administrator").get(reverse("admin:index")).content.decode()
    assert (
        reverse("operation", args=["year", "confirm_closing", row.pk]) in page
        or reverse("closed-year", args=[row.pk]) in page
    )
    assert reverse("closed-year", args=[row.pk]) not in browsers("manager").get(reverse("admin:index")).content.decode()
