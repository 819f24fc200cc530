"""The calendar feed at a secret address: RFC 5545 to the byte, valid only while its account has access, few details."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import pytest
from django.test import Client
from django.urls import reverse

from audit.clock import now
from environments.models import CalendarFeed, ChangeWindow, Environment, Holiday
from environments.operations.calendar_feed.create import create
from environments.operations.calendar_feed.revoke import revoke
from environments.operations.freeze.lift import lift
from environments.operations.holiday.add import add
from environments.operations.holiday.remove import remove as withdraw_holiday
from environments.operations.window.create_freeze import freeze, freeze_recurring
from releases.admin.pages.calendar.feed import document
from releases.operations.window.cancel import cancel
from tests.releases.gates.asking import alter

Answer = Any


@pytest.fixture
def feed(world: dict[str, Any], acting_as: Callable[..., Any]) -> Callable[..., Answer]:
    """Request the developer's feed of the application, without a session."""
    with acting_as("developer"):
        _row, secret = create(world["application"].pk)

    def ask(**headers: str) -> Answer:
        return Client(headers=headers).get(reverse("calendar-feed", args=[secret]))

    ask.secret = secret
    return ask


def events(answer: Answer) -> dict[str, icalendar.Event]:
    """Return the events by UID, parsed strictly; each UID occurs once."""
    calendar = icalendar.Calendar.from_ical(answer.content)
    assert isinstance(calendar, icalendar.Calendar) and not calendar.errors
    rows = calendar.walk("VEVENT")
    assert not [error for row in rows for error in row.errors]
    found = {str(row["UID"]): row for row in rows}
    assert len(found) == len(rows)
    return found


def of(found: dict[str, icalendar.Event], kind: str) -> dict[str, icalendar.Event]:
    """Keep the events of one type."""
    return {uid: event for uid, event in found.items() if uid.startswith(kind)}


def test_the_feed_conforms_to_rfc_5545(feed: Callable[..., Answer]) -> None:
    """CRLF, lines of 75 octets at most that fold between characters, the required properties, times in UTC."""
    alter(Environment.objects.get(slug="production").freezes.get(), name="年末年始の全社的な凍結, 監査を含む; " * 3)
    answer = feed()
    assert answer.status_code == 200 and answer["Content-Type"] == "text/calendar; charset=utf-8"
    body: bytes = answer.content
    assert (
        body.endswith(b"\r\n") and b"\n" not in body.replace(b"\r\n", b"") and b"\r" not in body.replace(b"\r\n", b"")
    )
    lines = body.split(b"\r\n")[:-1]
    assert max(map(len, lines)) <= 75 and any(line.startswith(b" ") for line in lines)
    for line in lines:
        line.decode()  # no line break splits a character
    plain = body.decode().replace("\r\n ", "").split("\r\n")
    assert plain[0] == "BEGIN:VCALENDAR" and plain[-2] == "END:VCALENDAR"
    assert plain.count("VERSION:2.0") == 1 and sum(line.startswith("PRODID:") for line in plain) == 1
    for line in plain[:-1]:
        assert re.match(r"[A-Z-]+(;[A-Z-]+=[^:;]+)*:", line), line
    blocks = "\n".join(plain).split("BEGIN:VEVENT\n")[1:]
    assert blocks
    for block in blocks:
        names = [re.split("[;:]", line)[0] for line in block.split("END:VEVENT")[0].strip().split("\n")]
        for name in ("UID", "DTSTAMP", "DTSTART", "DTEND", "SUMMARY", "STATUS", "SEQUENCE", "LAST-MODIFIED"):
            assert names.count(name) == 1, f"{name}: {block}"
    for line in plain:
        if line.startswith(("DTSTART", "DTEND", "DTSTAMP", "LAST-MODIFIED")):
            assert re.fullmatch(r"[A-Z-]+:\d{8}T\d{6}Z", line), line


def test_the_feed_holds_windows_extra_windows_freezes_and_planned_releases(
    world: dict[str, Any], feed: Callable[..., Answer]
) -> None:
    found = events(feed())
    production = Environment.objects.get(slug="production")
    regular = ChangeWindow.objects.get(from_procedure=True, environment=production)
    windows = of(found, f"window-{regular.pk}-")
    assert len(windows) in (12, 13), "twelve months of them"
    for uid, event in windows.items():
        start = event["DTSTART"].dt
        assert re.fullmatch(r"window-\d+-\d{8}@ringi", uid) and event["DTEND"].dt - start == timedelta(hours=4)
        assert start.hour == 16 and (start + timedelta(hours=9)).weekday() == 2
    freeze_row = production.freezes.get()
    assert str(found[f"freeze-{freeze_row.pk}@ringi"]["STATUS"]) == "CONFIRMED"
    extra = ChangeWindow.objects.get(rrule="")
    assert str(found[f"window-{extra.pk}@ringi"]["STATUS"]) == "TENTATIVE", "it awaits approval"
    review = world["review"]
    event = found[f"release-{review.pk}@ringi"]
    assert event["DTSTART"].dt == review.scheduled_start_at.replace(microsecond=0)
    assert str(event["STATUS"]) == "TENTATIVE" and review.version in str(event["SUMMARY"])
    assert not any(f"release-{world[name].pk}@" in uid for uid in found for name in ("released", "draft"))


def test_the_feed_holds_no_secret_and_no_reason(world: dict[str, Any], feed: Callable[..., Answer]) -> None:
    said = feed().content.decode().replace("\r\n ", "")
    review = world["review"]
    for hidden in (
        "繁忙期",
        "取引先の依頼",
        review.title,
        review.reason,
        review.ticket,
        review.commit,
        "DATABASE_PASSWORD",
        "hidden-from-everyone",
        "backup",
        "/srv/",
        "developer",
    ):
        assert hidden not in said, hidden


def test_a_change_raises_the_sequence_and_keeps_the_uid(
    world: dict[str, Any], feed: Callable[..., Answer], acting_as: Callable[..., Any]
) -> None:
    uid = f"release-{world['review'].pk}@ringi"
    before = events(feed())[uid]
    release = alter(world["review"], scheduled_start_at=world["review"].scheduled_start_at + timedelta(hours=1))
    after = events(feed())[uid]
    assert after["SEQUENCE"] == before["SEQUENCE"] + 1
    assert after["DTSTART"].dt == release.scheduled_start_at.replace(microsecond=0) != before["DTSTART"].dt
    assert after["LAST-MODIFIED"].dt >= before["LAST-MODIFIED"].dt


def test_a_moved_window_keeps_its_uid_and_its_sequence_rises(
    world: dict[str, Any], feed: Callable[..., Answer], acting_as: Callable[..., Any]
) -> None:
    """A holiday that moves one of the windows leaves the rule's own row as it is."""
    regular = ChangeWindow.objects.get(from_procedure=True, environment__slug="production")
    alter(regular, on_holiday="later")
    uid, before = sorted(of(events(feed()), f"window-{regular.pk}-").items())[2]
    day = date.fromisoformat(f"{uid[-14:-10]}-{uid[-10:-8]}-{uid[-8:-6]}")
    with acting_as("manager"):
        add(day=day, name_ja="創立記念日", name_en="Founding day")
    after = events(feed())[uid]
    assert after["DTSTART"].dt > before["DTSTART"].dt and after["SEQUENCE"] > before["SEQUENCE"]
    assert "創立記念日" in str(after["DESCRIPTION"])
    alter(regular, on_holiday="skip")
    gone = events(feed())[uid]
    assert str(gone["STATUS"]) == "CANCELLED" and gone["SEQUENCE"] > after["SEQUENCE"]


def test_a_cancelled_entry_is_listed_as_cancelled_for_thirty_days(
    world: dict[str, Any], feed: Callable[..., Answer], acting_as: Callable[..., Any]
) -> None:
    extra = ChangeWindow.objects.get(rrule="")
    production = Environment.objects.get(slug="production")
    row = production.freezes.get()
    before = events(feed())
    with acting_as("manager"):
        cancel(extra.pk, reason="not needed")
        lift(row.pk, reason="over")
    found = events(feed())
    for uid in (f"window-{extra.pk}@ringi", f"freeze-{row.pk}@ringi"):
        assert str(found[uid]["STATUS"]) == "CANCELLED"
        assert found[uid]["SEQUENCE"] > before[uid]["SEQUENCE"]
    alter(row, lifted_at=now() - timedelta(days=31))
    assert f"freeze-{row.pk}@ringi" not in events(feed())
    regular = ChangeWindow.objects.get(from_procedure=True, environment=production)
    alter(regular, cancelled_at=now())
    statuses = {str(e["STATUS"]) for e in of(events(feed()), f"window-{regular.pk}-").values()}
    assert statuses == {"CANCELLED"}
    alter(regular, cancelled_at=now() - timedelta(days=31))
    assert not of(events(feed()), f"window-{regular.pk}-")


@pytest.mark.parametrize(("on_holiday", "further"), [("flag", 0), ("later", 1)])
def test_a_holiday_raises_the_sequence_of_its_windows_only(
    world: dict[str, Any], feed: Callable[..., Answer], acting_as: Callable[..., Any], on_holiday: str, further: int
) -> None:
    regular = ChangeWindow.objects.get(from_procedure=True, environment__slug="production")
    alter(regular, on_holiday=on_holiday)
    before = of(events(feed()), f"window-{regular.pk}-")
    uid = sorted(before)[4]
    day = before[uid]["DTSTART"].dt.astimezone(ZoneInfo("Asia/Tokyo")).date()
    with acting_as("manager"):
        add(day=day, name_ja="創立記念日", name_en="Founding day")
        add(day=day + timedelta(days=1), name_ja="翌日", name_en="The day after")
    after = of(events(feed()), f"window-{regular.pk}-")
    assert len(after) >= 12
    raised = {key: after[key]["SEQUENCE"] - before[key]["SEQUENCE"] for key in after if key in before}
    assert raised == dict.fromkeys(raised, 0) | {uid: 1 + further}
    for holiday in Holiday.objects.all():
        with acting_as("manager"):
            withdraw_holiday(holiday.pk, reason="we work")
        again = of(events(feed()), f"window-{regular.pk}-")
        assert again[uid]["SEQUENCE"] >= after[uid]["SEQUENCE"], "never less"
        after = again
    assert after[uid]["SEQUENCE"] == before[uid]["SEQUENCE"] + 2 * (1 + further)


def test_an_unchanged_feed_is_identical_and_answered_304(world: dict[str, Any], feed: Callable[..., Answer]) -> None:
    """A minute later too: the stamps are those of the last change and not of the request."""
    moment = now()
    assert document(world["application"], moment) == document(world["application"], moment + timedelta(minutes=1))
    first, second = feed(), feed()
    for event in events(first).values():
        assert event["DTSTAMP"].dt == event["LAST-MODIFIED"].dt
    assert first.content == second.content and first["ETag"] == second["ETag"]
    again = feed(if_none_match=first["ETag"])
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    assert feed(if_none_match='"other"').status_code == 200
    assert "private" in first["Cache-Control"] and first["Referrer-Policy"] == "no-referrer"


def test_the_feed_uses_the_language_of_its_account(
    world: dict[str, Any], feed: Callable[..., Answer], people: Any
) -> None:
    assert "リリース" in feed().content.decode()
    alter(people["developer"], language="en")
    said = feed().content.decode().replace("\r\n ", "")
    assert "SUMMARY:Change window: Regular release (Production)" in said


def test_the_feed_excludes_other_applications(
    world: dict[str, Any], feed: Callable[..., Answer], acting_as: Callable[..., Any]
) -> None:
    other = world["released"].application
    with acting_as("manager"):
        production = Environment.objects.get(slug="production")
        row = freeze(
            production.pk,
            name="theirs",
            starts_at=now(),
            ends_at=now() + timedelta(days=1),
            reason="x",
            application_id=other.pk,
        )
    assert f"freeze-{row.pk}@ringi" not in events(feed())
    theirs = document(other, now())
    assert f"freeze-{row.pk}@ringi".encode() in theirs


def test_a_recurring_freeze_is_an_event_for_each_time(
    world: dict[str, Any], feed: Callable[..., Answer], acting_as: Callable[..., Any]
) -> None:
    place = Environment.objects.get(slug="staging")
    day = now().astimezone(ZoneInfo(place.zone)).date() + timedelta(days=1)
    with acting_as("manager"):
        row = freeze_recurring(
            place.pk,
            name="weekend",
            rrule="FREQ=DAILY",
            start=time(0),
            length_minutes=60,
            first_day=day,
            last_day=day + timedelta(days=2),
            reason="x",
        )
    found = of(events(feed()), f"freeze-{row.pk}-")
    assert [event["DTSTART"].dt for event in found.values()] == [span.starts_at for span in row.spans(row.starts_at)]
    assert len(found) == 3


def test_an_address_ends_with_its_account_role_or_revocation(
    world: dict[str, Any], feed: Any, acting_as: Callable[..., Any], people: Any
) -> None:
    assert feed().status_code == 200
    closed = alter(people["developer"], is_active=False)
    assert feed().status_code == 404
    alter(closed, is_active=True)
    assert feed().status_code == 200
    grant = closed.grants.get()
    alter(grant, revoked_at=now())
    assert feed().status_code == 404, "without the right to look"
    alter(grant, revoked_at=None)
    with acting_as("developer"):
        revoke(CalendarFeed.objects.get(digest=CalendarFeed.digest_of(feed.secret)).pk)
    assert feed().status_code == 404


def test_an_unknown_secret_is_answered_like_a_revoked_one_in_equal_time(
    world: dict[str, Any], feed: Any, acting_as: Callable[..., Any], django_assert_num_queries: Any
) -> None:
    with acting_as("developer"):
        revoke(CalendarFeed.objects.get(digest=CalendarFeed.digest_of(feed.secret)).pk)
    answers = []
    for secret in (feed.secret, "x", "x" * 3000, "ー" * 43, "a\x00b", feed.secret[:-1]):
        with django_assert_num_queries(1):
            answers.append(Client().get(reverse("calendar-feed", args=[secret])))
    assert {(a.status_code, a.content) for a in answers} == {(404, b"Not found\n")}
    address = reverse("calendar-feed", args=[feed.secret])
    assert Client().post(address).status_code == 405 and Client().delete(address).status_code == 405


def test_the_verb_shows_the_address_once(world: dict[str, Any], browsers: Callable[[str], Any], settings: Any) -> None:
    client = browsers("developer")
    answer = client.post(
        reverse("operation", args=["calendar_feed", "create", world["application"].pk]), {}, follow=True
    )
    found = re.search(r"https?://\S+/calendar/feed/([\w-]{43})\.ics", answer.content.decode())
    assert answer.status_code == 200 and found
    assert found[0].startswith(settings.BASE_URL)
    assert Client().get(reverse("calendar-feed", args=[found[1]])).status_code == 200
    assert found[1] not in client.get(reverse("admin:environments_calendarfeed_changelist")).content.decode()
    row = CalendarFeed.objects.get()
    assert client.get(reverse("admin:environments_calendarfeed_change", args=[row.pk])).status_code == 200
    other = browsers("operator")
    assert other.get(reverse("admin:environments_calendarfeed_change", args=[row.pk])).status_code != 200


def test_dates_beyond_a_year_are_left_out(world: dict[str, Any], feed: Callable[..., Answer]) -> None:
    limit = datetime.now(UTC) + timedelta(days=367)
    assert all(event["DTSTART"].dt < limit for event in events(feed()).values())
