"""Events name their object in words, and show times in the readers' form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse
from django.utils import translation

from releases.admin.components.change_history import object_name, shown_value


def test_the_timeline_names_releases_and_people(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    release = world["review"]
    html = browsers("auditor").get(reverse("timeline"), {"object": f"releases.Release:{release.pk}"}).content.decode()
    assert f'title="releases.Release:{release.pk}">release {release.pk}</span>' in html
    asked = {"release": release.pk, "operation": "release:submit"}
    html = browsers("auditor").get(reverse("timeline"), asked).content.decode()
    assert f'title="releases.Release:{release.pk}">release {release} ({release.number})</span>' in html


def test_an_object_is_named_by_its_type_in_the_readers_language(world: dict[str, Any]) -> None:
    assert object_name("releases.Release.editors:5") == "release: edited by 5"
    assert object_name("releases.Release:5", {"releases.Release:5": "Datasets 1.3.0"}) == "release Datasets 1.3.0"
    assert (object_name("gone.Model:1"), object_name("")) == ("gone.Model 1", "")
    with translation.override("ja"):
        assert object_name("releases.Release:5") == "リリース 5"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("2026-12-15T16:00:00+00:00", "Wed 16 Dec 2026 01:00 (late Tuesday night) JST"),
        ("2026-12-15T16:00:00.000000Z", "Wed 16 Dec 2026 01:00 (late Tuesday night) JST"),
        ("2026-12-15T16:00:00", "2026-12-15T16:00:00"),
        ("2026-12-15", "2026-12-15"),
        ("2026-13-01T00:00:00Z", "2026-13-01T00:00:00Z"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
        ("1.3.0", "1.3.0"),
    ],
)
def test_a_time_with_offset_is_shown_in_readable_form(value: str, shown: str) -> None:
    assert shown_value(value) == shown
