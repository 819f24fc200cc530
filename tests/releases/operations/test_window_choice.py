"""The form of the scheduled start offers the coming change windows, each with what it would mean."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.urls import reverse

from audit.clock import now
from releases.models import Procedure
from releases.queries.coming_windows import coming_windows
from tests.releases.gates.asking import alter

Clients = Callable[[str], Any]


def test_the_coming_windows_are_offered_with_their_milestones(world: Any, browsers: Clients) -> None:
    release, client = world.planned(), browsers("manager")
    address = reverse("operation", args=["release", "set_scheduled_start", release.pk])
    form = client.get(address).context["form"]
    values = [value for value, _label in form.fields["window"].choices]
    assert values[0] == "now" and len(values) == 6, "the extra window is open, five regular ones follow"
    regular = form.fields["window"].choices[2]  # the scope lock of the first may be past already
    assert "01:00" in regular[1] and "Scope locked (" in regular[1]
    assert client.post(address, {"window": values[2], "start": "", "reason": ""}).status_code == 302
    assert world.fresh(release).scheduled_start_at.isoformat() == values[2]
    assert client.post(address, {"window": "now", "start": ""}).status_code == 302
    assert abs(world.fresh(release).scheduled_start_at - now()) < timedelta(minutes=1)


def test_a_typed_time_counts_before_the_chosen_window(world: Any, browsers: Clients) -> None:
    release, client = world.planned(), browsers("manager")
    address = reverse("operation", args=["release", "set_scheduled_start", release.pk])
    form = client.get(address).context["form"]
    first, second = (value for value, _label in form.fields["window"].choices[1:3])
    assert client.post(address, {"window": first, "start": second}).status_code == 302
    assert world.fresh(release).scheduled_start_at.isoformat() == second
    assert client.post(address, {"window": "", "start": ""}).status_code == 400
    assert client.post(address, {"window": "2001-01-01T00:00:00+00:00", "start": ""}).status_code == 400


def test_what_is_planned_for_a_window_and_what_is_past_is_said(world: Any) -> None:
    release, place = world.planned("1.3.0"), world.environments["production"]
    document = Procedure.objects.of(world.application).document
    other = alter(world.planned("1.4.0"), scheduled_start_at=now() + timedelta(minutes=5))
    found = coming_windows(world.fresh(release), place, document, now())
    assert [row.pk for row in found[0].taken] == [other.pk] and all(not row.taken for row in found[1:])
    assert all(at < now() for at in found[0].due.values()), "every milestone of a start today is past"
    assert all(left.end <= right.start for left, right in zip(found, found[1:], strict=False) if right.start)


def test_an_emergency_needs_no_window(world: Any, browsers: Clients) -> None:
    release = alter(world.planned(), kind="emergency")
    page = browsers("manager").get(reverse("operation", args=["release", "set_scheduled_start", release.pk]))
    assert set(page.context["form"].fields) == {"start", "reason"}


def test_the_open_window_names_a_release_whose_start_in_it_has_passed(world: Any) -> None:
    first, second = world.planned(), world.planned("1.4.0")
    place, procedure = world.environments["production"], Procedure.objects.get(state="in_effect")
    open_now = coming_windows(second, place, procedure.document, now())[0]
    assert open_now.start is None and first.scheduled_start_at < now()
    assert open_now.taken == [first]
