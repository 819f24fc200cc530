"""A time in a form is local to its environment: the field names the zone, shows the time in it and reads it so."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import pytest
from django.urls import reverse

from environments.models import Environment
from releases.models import Release, Waiver
from tests.releases.admin import seed, seed_deployments
from tests.releases.admin.test_calendar import confirmation_digest
from tests.releases.gates.asking import alter


@pytest.fixture
def elsewhere(world: dict[str, Any]) -> dict[str, Any]:
    """The same world with a production environment in Berlin."""
    alter(Environment.objects.get(slug="production"), zone="Europe/Berlin")
    return world


def test_a_waiver_is_offered_to_end_with_the_environments_window(
    elsewhere: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    release = elsewhere["review"]
    alter(release, scheduled_end_at=datetime(2026, 12, 16, 20, 0, tzinfo=UTC))
    html = browsers("manager").get(reverse("operation", args=["waiver", "request", release.pk])).content.decode()
    assert 'value="2026-12-16T21:00"' in html
    assert "Local time in Europe/Berlin" in html


@pytest.mark.parametrize(
    ("ends", "shown"),
    [
        (datetime(2027, 10, 31, 0, 30, tzinfo=UTC), "2027-10-31T02:30"),
        (datetime(2027, 10, 31, 1, 30, tzinfo=UTC), "2027-10-31T02:30"),  # the clocks went back in between
        (datetime(2027, 10, 30, 1, 30, 40, tzinfo=UTC), "2027-10-30T03:30"),
    ],
)
def test_a_time_that_is_left_as_offered_stays_that_very_instant(
    elsewhere: dict[str, Any], browsers: Callable[[str], Any], ends: datetime, shown: str
) -> None:
    release, manager = elsewhere["review"], browsers("manager")
    alter(release, scheduled_end_at=ends)
    address = reverse("operation", args=["waiver", "request", release.pk])
    html = manager.get(address).content.decode()
    assert f'value="{shown}"' in html
    gate = re.findall(r'<option value="([a-z_]+)"', html.split('name="gate"')[1])[0]
    place = Environment.objects.get(slug="production")
    given = {"environment_id": place.pk, "gate": gate, "until": shown, "reason": "one time"}
    answer = manager.post(address, given)
    assert answer.status_code == 302, answer.content.decode()
    assert Waiver.objects.latest("pk").until == ends


def test_a_new_date_is_read_in_the_environments_zone(elsewhere: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    release, manager = elsewhere["draft"], browsers("manager")
    address, opens = reverse("operation", args=["release", "set_scheduled_start", release.pk]), seed.next_window_start()
    assert "Local time in Europe/Berlin" in manager.get(address).content.decode()
    there = opens.astimezone(ZoneInfo("Europe/Berlin")).strftime("%Y-%m-%dT%H:%M")
    preview = manager.post(address, {"start": there, "reason": "later"}).content.decode()
    assert "ポータル 2.0.0 is deployed at the same time on the same host" in preview
    answer = manager.post(address, {"start": there, "reason": "later", "confirmed": confirmation_digest(preview)})
    assert answer.status_code == 302, answer.content.decode()
    assert Release.objects.get(pk=release.pk).scheduled_start_at == opens


def test_a_deployment_to_production_is_offered_the_start_of_its_release(
    elsewhere: dict[str, Any], acting_as: Any, browsers: Callable[[str], Any]
) -> None:
    release = elsewhere["review"]
    there = release.scheduled_start_at.astimezone(ZoneInfo("Europe/Berlin"))
    for environment, shown in (("production", f'value="{there:%Y-%m-%dT%H:%M}"'), ("development", 'name="at"')):
        deployment = seed_deployments.make_deployment(acting_as, release, environment)
        html = browsers("operator").get(reverse("operation", args=["deployment", "schedule", deployment.pk]))
        field = re.search(r'<input[^>]*name="at"[^>]*>', html.content.decode())
        assert field is not None and shown in field[0] and ("value" in field[0]) == (environment == "production")


def test_a_clicked_window_is_prefilled_with_its_start(
    elsewhere: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    """The calendar shows it in the zone of its rule, and the form in that of production."""
    manager, opens = browsers("manager"), seed.next_window_start() + timedelta(days=60)
    month = opens.astimezone(ZoneInfo("Asia/Tokyo")).strftime("%Y-%m")
    html = manager.get(reverse("calendar") + f"?month={month}").content.decode()
    (link,) = set(re.findall(r'href="([^"]*release/plan/\?start=[^"]+)"', html.split("</table>")[0]))
    given = {"application_id": elsewhere["application"].pk, "version": "1.9.0", "title": "clicked", "kind": "regular"}
    form = manager.get(manager.post(link, given).url).content.decode()
    (clicked,) = re.findall(r"start=([^&]+)", link)
    there = datetime.fromisoformat(unquote(clicked)).astimezone(ZoneInfo("Europe/Berlin"))
    assert f'value="{there:%Y-%m-%dT%H:%M}"' in form
    answer = manager.post(manager.post(link, given | {"version": "1.9.1"}).url, {"start": f"{there:%Y-%m-%dT%H:%M}"})
    assert answer.status_code == 302, answer.content.decode()
    assert Release.objects.get(version="1.9.1").scheduled_start_at == there
