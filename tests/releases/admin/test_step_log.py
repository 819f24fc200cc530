"""The log of a step as text: all of it, the lines that contain a text, and as a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.urls import reverse

from releases.admin.pages.deployment.page import lines_with


def test_lines_are_found_regardless_of_width_and_case() -> None:
    """With their numbers in the whole log; a message when no line matches."""
    assert lines_with("one\nＥＲＲＯＲ 12\nerror 13\n", "Error") == "2: ＥＲＲＯＲ 12\n3: error 13\n"
    assert lines_with("one\n", "ｏｎｅ") == "1: one\n"
    assert "No line" in lines_with("one\n", "two")


def test_the_log_can_be_searched_and_downloaded(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """By people who may read logs there."""
    address, client = reverse("step-log", args=[world["step"].pk]), browsers("operator")
    whole = client.get(address)
    assert whole["Content-Disposition"].startswith("inline")
    assert client.get(address, {"download": "1"})["Content-Disposition"].startswith("attachment")
    assert client.get(address, {"find": "OK"}).content.decode().endswith(": ok\n")
    assert browsers("outsider").get(address, {"find": "ok"}).status_code == 403
