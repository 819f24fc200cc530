"""The request to lift an emergency stop names each part of its content in the reader's language."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.urls import reverse

from releases.models import EmergencyStop
from releases.operations.emergency_stop.activate import activate
from releases.operations.emergency_stop.request_lift import request_lift


def test_the_content_has_no_key_in_the_place_of_words(
    seeded: dict[str, Any], acting_as: Callable[..., Any], browsers: Callable[[str], Any]
) -> None:
    with acting_as("operator"):
        activate(reason="smoke")
        asked = request_lift(EmergencyStop.objects.get(lifted_at=None).pk, reason="it was toast")
    page = browsers("committee_b").get(reverse("approval-request", args=[asked.pk])).content.decode()
    assert "Production" in page or "本番環境" in page
    for key in asked.document.keys() - {"application", "reason"}:
        assert f">{key}<" not in page.replace("\n", "").replace(" ", ""), key
