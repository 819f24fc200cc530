"""What a page costs on its way: compressed pages, and names of static files where they were not collected."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.urls import reverse

from config.development.cut_fonts import LISTED, icons
from config.static_files import StaticFiles
from releases.admin.components.navigation import navigation
from tests.releases.admin.conftest import pages_template, seeded

__all__ = ["pages_template", "seeded"]

ZIPPED = {"accept-encoding": "gzip"}


def test_a_page_is_compressed_and_what_is_downloaded_is_not(
    seeded: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    client, address = browsers("auditor"), reverse("release", args=[seeded["review"].pk])
    plain, small = client.get(address), client.get(address, headers=ZIPPED)
    assert not plain.has_header("Content-Encoding") and small["Content-Encoding"] == "gzip"
    assert len(small.content) < len(plain.content) / 3
    assert b"<!DOCTYPE html>" in gzip.decompress(small.content) and b"<!DOCTYPE html>" in plain.content
    listed = reverse("admin:releases_release_changelist") + "?csv=1"
    for download in (listed, reverse("evidence-pack", args=[seeded["released"].number]), "/api/v1/openapi.json"):
        answer = client.get(download, headers=ZIPPED)
        assert answer.status_code == 200 and not answer.has_header("Content-Encoding"), download


def test_a_file_that_was_not_collected_keeps_its_plain_name(tmp_path: Path) -> None:
    assert StaticFiles(location=str(tmp_path)).url("ringi/ringi.css") == "/static/ringi/ringi.css"
    (tmp_path / "staticfiles.json").write_text('{"version": "1.1", "paths": {"ringi/a.css": "ringi/a.0123.css"}}')
    collected = StaticFiles(location=str(tmp_path))
    assert [collected.url(f"ringi/{name}.css") for name in "ab"] == ["/static/ringi/a.0123.css", "/static/ringi/b.css"]


def test_every_icon_is_in_the_cut_font(seeded: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """The font of the icons holds those of icons.txt only; another one would stand on the page as its name."""
    known = set(LISTED.read_text().split())
    # Two icons in one line are taken for one name: no icon has such a name.
    assert {name for name in icons() if "keyboard_return" not in name} - known == set()
    for name in ("auditor", "administrator"):
        request = browsers(name).get(reverse("admin:index")).wsgi_request
        shown = {item["icon"] for group in navigation(request) for item in group["items"]}
        assert len(shown) > 10 and shown <= known, name
