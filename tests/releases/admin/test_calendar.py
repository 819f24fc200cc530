"""The calendar page and the previews of windows and freezes before they are saved."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.urls import reverse

from audit.clock import now
from environments.models import ChangeFreeze, ChangeWindow, Environment, Holiday
from environments.operations.holiday.add import add
from releases.admin.pages.calendar.month import chosen
from tests.releases.gates.asking import alter, make

TOKYO = ZoneInfo("Asia/Tokyo")


def production() -> Environment:
    """The production environment."""
    return Environment.objects.get(slug="production")


def page(client: Client, **query: str) -> str:
    """Return the calendar page."""
    answer = client.get(reverse("calendar"), query)
    assert answer.status_code == 200
    return answer.content.decode()


def cell(html: str, day: date) -> str:
    """Return the cell of a day of the shown month."""
    cells = re.findall(r'<td\s+class="[^"]*"\s*>.*?</td>', html.split('id="month"')[1].split("</table>")[0], re.S)
    inside = [c for c in cells if not re.match(r'<td\s+class="[^"]* out', c)]
    (found,) = [c for c in inside if f"<b>{day.day}</b>" in c]
    return found


def month_of(at: datetime) -> tuple[str, date]:
    """Return the month as the address writes it, and the day, in Tokyo."""
    local = at.astimezone(TOKYO)
    return f"{local:%Y-%m}", local.date()


def test_the_grid_shows_windows_freezes_releases_milestones_and_holidays(
    world: dict[str, Any], browsers: Callable[[str], Any], acting_as: Callable[..., Any]
) -> None:
    client = browsers("manager")
    review = world["review"]
    month, day = month_of(review.scheduled_start_at)
    html = page(client, month=month)
    assert "01:00–05:00" in cell(html, day) and "Regular release" in cell(html, day)
    assert f"T-0 {review}" in cell(html, day) and reverse("release", args=[review.pk]) in cell(html, day)
    milestone = review.milestones.exclude(guards="start").last()
    month, day = month_of(milestone.due_at)
    assert f"· {review}" in cell(page(client, month=month), day)
    freeze = ChangeFreeze.objects.get()
    month, day = month_of(freeze.starts_at + timedelta(days=1))
    assert freeze.name in cell(page(client, month=month), day)
    assert "New Year" in cell(page(client, month="2027-01"), date(2027, 1, 1))
    with acting_as("manager"):
        add(day=date(2027, 1, 12), name_ja="創立記念日", name_en="Founding day")
    assert "Founding day" in cell(page(client, month="2027-01"), date(2027, 1, 12))
    client.cookies["django_language"] = "ja"
    html = page(client, month="2027-01")
    assert (
        "2027年1月" in html and "元日" in cell(html, date(2027, 1, 1)) and "創立記念日" in cell(html, date(2027, 1, 12))
    )


def test_the_calendar_filters_by_environment(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    month, day = month_of(world["review"].scheduled_start_at)
    assert "Regular release" not in cell(page(browsers("manager"), month=month, environment="staging"), day)
    assert "Regular release" in cell(page(browsers("manager"), month=month, environment="production"), day)


@pytest.mark.parametrize("text", ["", "x", "2026-13", "2026-00", "0001-01", "9999-12", "99999-1", "2026-1-1", "\x00"])
def test_an_invalid_month_shows_the_present_one(text: str, world: dict[str, Any]) -> None:
    assert chosen(text, now()) == now().astimezone(TOKYO).date().replace(day=1)


def test_an_empty_window_links_to_planning_with_its_date(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    client = browsers("manager")
    start = world["review"].scheduled_start_at + timedelta(days=60)
    month, _day = month_of(start)
    html = page(client, month=month)
    (link,) = set(re.findall(r'href="([^"]*release/plan/\?start=[^"]+)"', html.split("</table>")[0]))
    assert re.search(r"start=\d{4}-\d\d-\d\dT\d\d%3A00%3A00%2B\d\d%3A00$", link)
    given = {
        "application_id": world["application"].pk,
        "version": "1.9.0",
        "title": "from the calendar",
        "kind": "regular",
    }
    answer = client.post(link, given)
    assert answer.status_code == 302 and "/operation/release/set_scheduled_start/" in answer.url
    form = client.get(answer.url).content.decode()
    assert re.search(
        r'name="start"[^>]*value="\d{4}-\d\d-\d\dT01:00"|value="\d{4}-\d\d-\d\dT01:00"[^>]*name="start"', form
    )
    assert "release/plan" not in page(browsers("auditor"), month=month)
    assert "release/plan" not in page(browsers("operator"), month=month)


def test_a_link_prefills_no_signed_field(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    address = reverse("operation", args=["approval", "approve", world["round"].pk])
    html = browsers("committee_b").get(address, {"digest": "f" * 64, "comment": "planted"}).content.decode()
    fields = re.findall(r"<(?:input|textarea)[^>]*>", html.split("r-form")[1])
    assert len(fields) > 2 and not any("planted" in f or "f" * 64 in f for f in fields)


def rule_form(**fields: Any) -> dict[str, Any]:
    """A filled form of a recurring window."""
    given = {
        "name": "週次",
        "name_en": "Weekly",
        "rrule": "FREQ=MONTHLY;BYMONTHDAY=3",
        "start": "01:00",
        "zone": "Asia/Tokyo",
        "length_minutes": "240",
        "day_offset": "0",
        "country": "JP",
        "on_holiday": "later",
        "reason": "x",
    }
    return given | fields


def confirmation_digest(html: str) -> str:
    """Return the digest that the preview asks to confirm."""
    found = re.search(r'name="confirmed" value="([0-9a-f]{64})"', html)
    assert found
    return found[1]


def preview(html: str) -> str:
    """Return the preview's part of a page."""
    return html.split('id="preview"')[1].split("</section>")[0]


def test_a_rule_is_previewed_with_its_24_windows_before_it_is_saved(
    world: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    client = browsers("manager")
    address = reverse("operation", args=["window", "set_rule", production().pk])
    answer = client.post(address, rule_form())
    html = answer.content.decode()
    shown = preview(html)
    assert answer.status_code == 200 and re.findall(r"(?:<dd>|<br>)(\d+)\. ", shown) == [str(n) for n in range(1, 25)]
    assert "Moved from 3 May 2027: Constitution Day" in shown or "Moved from 3 Nov" in shown
    assert not ChangeWindow.objects.filter(name="週次").exists()
    left = preview(client.post(address, rule_form(on_holiday="skip")).content.decode())
    assert "Left out: " in left
    flagged = preview(client.post(address, rule_form(on_holiday="flag")).content.decode())
    assert "on a holiday: " in flagged
    # A form that differs from the preview is previewed again.
    other = client.post(address, rule_form(length_minutes="60", confirmed=confirmation_digest(html)))
    assert other.status_code == 200 and confirmation_digest(other.content.decode()) != confirmation_digest(html)
    done = client.post(address, rule_form(confirmed=confirmation_digest(html)))
    assert done.status_code == 302
    assert ChangeWindow.objects.get(name="週次").in_effect_at is None, "it awaits approval"


def test_an_invalid_rule_is_reported_in_the_preview(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    address = reverse("operation", args=["window", "set_rule", production().pk])
    client = browsers("manager")
    answer = client.post(address, rule_form(rrule="FREQ=HOURLY", zone="Mars/Olympus", country="zz"))
    assert "needs FREQ=DAILY" in preview(answer.content.decode()) and "Mars" in preview(answer.content.decode())
    refused = client.post(address, rule_form(rrule="FREQ=HOURLY") | {"confirmed": "0" * 64})
    assert refused.status_code == 200
    again = client.post(
        address, rule_form(rrule="FREQ=HOURLY", confirmed=confirmation_digest(refused.content.decode()))
    )
    assert again.status_code == 400 and not ChangeWindow.objects.filter(name="週次").exists()


def test_a_freeze_preview_shows_the_affected_deployments(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    client, review = browsers("manager"), world["review"]
    address = reverse("operation", args=["window", "create_freeze", production().pk])
    local = review.scheduled_start_at.astimezone(TOKYO)
    given = {
        "name": "棚卸し",
        "reason": "x",
        "starts_at": f"{local - timedelta(hours=2):%Y-%m-%dT%H:%M}",
        "ends_at": f"{local + timedelta(hours=2):%Y-%m-%dT%H:%M}",
    }
    answer = client.post(address, given)
    shown = preview(answer.content.decode())
    assert str(review) in shown and "01:00" in shown and not ChangeFreeze.objects.filter(name="棚卸し").exists()
    other = client.post(address, given | {"application_id": world["released"].application_id})
    assert str(review) not in preview(other.content.decode()), "a freeze of another application does not hit it"
    # Meanwhile another freeze begins at that time: the signed preview is no longer the one that was read.
    hours = {"starts_at": review.scheduled_start_at, "ends_at": review.scheduled_end_at}
    make(ChangeFreeze, environment=production(), name="決算", reason="x", created_by=review.author, **hours)
    moved = client.post(address, given | {"confirmed": confirmation_digest(answer.content.decode())})
    assert moved.status_code == 200 and "決算" in preview(moved.content.decode())
    assert not ChangeFreeze.objects.filter(name="棚卸し").exists()
    done = client.post(address, given | {"confirmed": confirmation_digest(moved.content.decode())})
    assert done.status_code == 302
    row = ChangeFreeze.objects.get(name="棚卸し")
    assert row.starts_at == (review.scheduled_start_at - timedelta(hours=2))
    lifting = reverse("operation", args=["freeze", "lift", row.pk])
    shown = client.post(lifting, {"reason": "done"}).content.decode()
    assert str(review) in preview(shown)
    assert client.post(lifting, {"reason": "done", "confirmed": confirmation_digest(shown)}).status_code == 302
    assert ChangeFreeze.objects.get(pk=row.pk).lifted_at is not None
    assert "was lifted already" in client.get(lifting).content.decode(), "not now: said, not offered again"


def test_a_recurring_freeze_preview_shows_each_time_and_its_effects(
    world: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    client, review = browsers("manager"), world["review"]
    address = reverse("operation", args=["window", "create_recurring_freeze", production().pk])
    form = client.get(address).content.decode()
    assert re.findall(r'name="rrule_days" value="(..)"[^>]* checked', form) == ["FR"]
    day = review.scheduled_start_at.astimezone(TOKYO).date()
    staging = Environment.objects.get(slug="staging")
    given = {
        "name": "週末",
        "reason": "x",
        "rrule_days": [("MO", "TU", "WE", "TH", "FR", "SA", "SU")[day.weekday()]],
        "start": "00:00",
        "length_minutes": "600",
        "first_day": f"{day}",
        "last_day": f"{day + timedelta(days=364)}",
        "also_in": [staging.pk],
    }
    assert "not both" in client.post(address, given | {"rrule": "FREQ=HOURLY"}).content.decode()
    faulty = preview(client.post(address, given | {"rrule": "FREQ=HOURLY", "rrule_days": []}).content.decode())
    assert "needs FREQ=DAILY" in faulty
    html = client.post(address, given).content.decode()
    shown = preview(html)
    assert str(review) in shown and "and 29 more times" in shown and f"{staging} · " in shown
    assert not ChangeFreeze.objects.filter(name="週末").exists()
    assert client.post(address, given | {"confirmed": confirmation_digest(html)}).status_code == 302
    row = ChangeFreeze.objects.get(name="週末", environment=production())
    assert ChangeFreeze.objects.filter(name="週末", environment=staging).exists()
    month, first = month_of(row.spans(row.starts_at)[1].starts_at)
    assert "週末" in cell(page(client, month=month), first), "the calendar shows each time"
    listed = client.get(reverse("admin:environments_changefreeze_changelist")).content.decode()
    assert "each week: " in listed and "00:00–10:00" in listed
    lifting = preview(
        client.post(reverse("operation", args=["freeze", "lift", row.pk]), {"reason": "done"}).content.decode()
    )
    assert lifting.count(" – ") >= 24


def test_a_cancellation_and_a_holiday_preview_their_effects(
    world: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    client, review = browsers("manager"), world["review"]
    regular = ChangeWindow.objects.get(from_procedure=True, environment=production())
    shown = preview(
        client.post(reverse("operation", args=["window", "cancel", regular.pk]), {"reason": "x"}).content.decode()
    )
    assert str(review) in shown
    alter(regular, on_holiday="later")
    day = review.scheduled_start_at.astimezone(TOKYO).date()
    given = {"day": day.isoformat(), "name_ja": "創立記念日", "name_en": "Founding day"}
    html = client.post(reverse("operation-new", args=["holiday", "add"]), given).content.decode()
    assert "Moved from" in preview(html) and "Founding day" in preview(html) and str(review) in preview(html)
    assert (
        client.post(
            reverse("operation-new", args=["holiday", "add"]), given | {"confirmed": confirmation_digest(html)}
        ).status_code
        == 302
    )
    assert Holiday.objects.get().day == day


def test_a_program_needs_no_confirmation_page(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    client = browsers("manager")
    given = {
        "name": "n",
        "reason": "x",
        "starts_at": now().isoformat(),
        "ends_at": (now() + timedelta(hours=1)).isoformat(),
    }
    address = reverse("operation", args=["window", "create_freeze", production().pk])
    answer = client.post(address, given, headers={"accept": "application/json"})
    assert answer.json()["ok"] and ChangeFreeze.objects.filter(name="n").exists()


def test_a_local_time_is_read_in_the_zone_of_its_environment(
    world: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    """02:30 does not exist in New York on 14 March 2027: the first instant after the gap, 03:00 EDT."""
    alter(production(), zone="America/New_York")
    given = {"name": "gap", "reason": "x", "starts_at": "2027-03-14T02:30", "ends_at": "2027-03-14T06:00"}
    address = reverse("operation", args=["window", "create_freeze", production().pk])
    browsers("manager").post(address, given, headers={"accept": "application/json"})
    row = ChangeFreeze.objects.get(name="gap")
    assert row.starts_at.isoformat() == "2027-03-14T07:00:00+00:00"
    assert row.ends_at.isoformat() == "2027-03-14T10:00:00+00:00"


def test_moved_and_skipped_windows_are_marked_in_list_and_grid(
    world: dict[str, Any], browsers: Callable[[str], Any], acting_as: Callable[..., Any]
) -> None:
    regular = ChangeWindow.objects.get(from_procedure=True, environment=production())
    day = world["review"].scheduled_start_at.astimezone(TOKYO).date()
    with acting_as("manager"):
        add(day=day, name_ja="創立記念日", name_en="Founding day")
    client = browsers("manager")
    for on_holiday, words in (("flag", "Founding day"), ("later", "Moved from"), ("skip", "Left out: Founding day")):
        alter(regular, on_holiday=on_holiday)
        html = page(client, month=f"{day:%Y-%m}")
        assert words in html.split('id="month"')[1].split("</table>")[0]
        assert words in html.split('id="production"')[1]


def test_a_week_shows_its_seven_days_with_all_entries(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """The week includes days of the neighbouring month; an invalid day is today."""
    day = world["review"].scheduled_start_at.astimezone(TOKYO).date()
    html = page(browsers("manager"), week=day.isoformat())
    grid = html.split('id="month"')[1].split("</table>")[0]
    assert grid.count('class="r-day"') == 7 and "T-0" in grid
    assert f"?week={day + timedelta(days=7)}" in html and f"?week={day - timedelta(days=7)}" in html
    today = page(browsers("manager"), week="yesterday").split('id="month"')[1].split("</table>")[0]
    assert today.count('class="r-day"') == 7


def test_other_applications_on_the_same_hosts_are_named(
    world: Any, browsers: Callable[[str], Any], acting_as: Callable[..., Any]
) -> None:
    """In the calendar, and before a release is planned beside them."""
    from environments.models import DeploymentTarget
    from releases.models import Release
    from releases.operations.application.create import create_application
    from releases.operations.release.plan import plan

    place, application = production(), world["application"]
    at = ChangeWindow.objects.filter(environment=place).first()
    assert at is not None
    with_ssh = {"ssh": {"host": "web1.example.org", "user": "deploy"}}
    target = DeploymentTarget.objects.get(application=application, environment=place)
    alter(target, options={**target.options, **with_ssh})
    with acting_as("manager"):
        other = create_application(
            slug="other", name="Other", repository=application.repository, signers=application.allowed_signers
        )
        release = plan(application_id=other.pk, version="1.3.0", title="Other 1.3.0")
    make(DeploymentTarget, application=other, environment=place, root="/srv/other", options=with_ssh)
    planned = Release.objects.filter(application=application, state="in_review").first()
    assert planned is not None and planned.scheduled_start_at is not None
    alter(release, scheduled_start_at=planned.scheduled_start_at, scheduled_end_at=planned.scheduled_end_at)
    shown = page(browsers("manager"))
    first, second = sorted((planned, release), key=lambda row: row.pk)
    assert f"{first}: {second} is deployed at the same time on the same host: web1.example.org" in shown
    assert shown.split('id="list"')[1].count("web1.example.org") == 1, "two are said once"
    month, day = month_of(planned.scheduled_start_at)
    assert "⚠" in cell(page(browsers("manager"), month=month), day)
    local = planned.scheduled_start_at.astimezone(TOKYO).strftime("%Y-%m-%d %H:%M")
    said = browsers("manager").post(
        reverse("operation", args=["release", "set_scheduled_start", release.pk]), {"start": local, "reason": ""}
    )
    assert f"{planned} is deployed at the same time" in said.content.decode()
    elsewhere = DeploymentTarget.objects.get(application=other)
    alter(elsewhere, options={"ssh": {"host": "web2.example.org", "user": "deploy"}})
    assert "on the same host" not in page(browsers("manager"))
