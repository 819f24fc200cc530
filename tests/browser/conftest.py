"""The system's Chromium, the web server on the test's database, and people before browsers of their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.person import Person
from tests.browser.serving import serving
from tests.releases.admin.conftest import pages_template, seeded
from tests.releases.conftest import sample_repository, world, world_template

__all__ = ["pages_template", "sample_repository", "seeded", "world", "world_template"]
PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
OPTIONS = ["--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage", "--no-first-run"]
OPTIONS += ["--lang=en-US"]  # how a field of dates is typed; pages have the language of the reader
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DESK = {"viewport": {"width": 1366, "height": 900}}
PATIENCE = 30_000  # milliseconds; others use the machine too


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser of the system; without one these tests are skipped, and say so."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no Chromium on this machine (looked for {', '.join(PROGRAMS)})")
    options = OPTIONS + (["--no-sandbox"] if os.geteuid() == 0 else [])
    # Playwright keeps an event loop in this thread, where Django would refuse to read the database.
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=options)
        yield browser
        browser.close()
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
    else:
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = before


@pytest.fixture(scope="session")
def static_files() -> None:
    """Scripts, styles and fonts where the web server looks for them, so that browsers keep them as with people."""
    from django.core.management import call_command

    call_command("collectstatic", interactive=False, verbosity=0)


@pytest.fixture
def site(database: str, static_files: None, state_folder: Path, tmp_path: Path) -> Iterator[str]:
    """The address of the web server on this test's database; a page with a traceback fails the test."""
    from django.conf import settings

    (state_folder / "static").symlink_to(settings.STATIC_ROOT)
    log = tmp_path / "web.log"
    with serving(database, log) as address:
        yield address
    assert "Traceback" not in (said := log.read_text()), said[-3000:]


@pytest.fixture
def person(chromium: Browser, site: str, browsers: Callable[[str], Any]) -> Iterator[Callable[..., Person]]:
    """Return a function: a member of the cast before a browser.

    signed_in: with a fresh proof of identity, else as a visitor; phone: a small touch screen; by: how the pages are
    used; options: Playwright's (color_scheme, java_script_enabled).
    """
    opened: list[Person] = []

    def enter(
        name: str,
        *,
        signed_in: bool = True,
        phone: bool = False,
        locale: str = "ja",
        by: type[Person] = Person,
        **options: Any,
    ) -> Person:
        shape: dict[str, Any] = {**(PHONE if phone else DESK), "locale": locale, **options}
        context = chromium.new_context(**shape)
        context.set_default_timeout(PATIENCE)
        if signed_in:
            session = browsers(name).cookies["sessionid"].value
            cookies = {"sessionid": session, "django_language": locale}
            context.add_cookies([{"name": key, "value": value, "url": site} for key, value in cookies.items()])
        opened.append(by(name, site, context, locale))
        return opened[-1]

    yield enter
    for one in opened:
        one.context.close()
