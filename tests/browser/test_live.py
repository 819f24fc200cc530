"""Pages that live, in a real browser: what changes is seen within a second, and what a person does is kept."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect

from audit.actor import acting
from audit.operation import operation
from releases.models import StepOutput
from tests.audit.test_operation import COMMAND
from tests.browser.conftest import DESK
from tests.browser.person import Person
from tests.browser.serving import serving
from tests.releases.gates.asking import alter

LATEST = 1.0  # seconds from the commit until the page shows it, of 19 in 20 changes


def title_is(page: Page, text: str, within: float) -> float:
    """Wait until the page of a release shows a title; return after how many seconds."""
    began = time.monotonic()
    expect(page.locator(".r-head .r-sub")).to_contain_text(text, timeout=within * 1000)
    return time.monotonic() - began


def test_a_change_is_seen_within_a_second_and_what_a_person_does_is_kept(
    seeded: dict[str, Any], person: Callable[..., Person]
) -> None:
    reader, draft = person("manager", locale="en"), seeded["review"]
    reader.go(reverse("release", args=[draft.pk]))
    page, said = reader.page, reader.page.locator("[data-live]")
    expect(said).to_have_text(re.compile(r"^Kept up to date · Last updated \d"))
    page.wait_for_timeout(1500)  # the first look of a stream that has just begun
    page.locator("#main details").first.evaluate("e => { e.open = true; }")
    link = page.locator(".ringi section a").nth(3)
    link.focus()
    page.evaluate("window.scrollTo(0, 900)")
    waited = []
    for number in range(20):
        alter(draft, title=f"Title number {number}")
        waited.append(title_is(page, f"Title number {number}", 5))
        page.wait_for_timeout(350)
    print("seconds until seen:", [round(seconds, 2) for seconds in sorted(waited)])
    assert sorted(waited)[18] <= LATEST
    assert page.locator("#main details").first.evaluate("e => e.open")
    assert link.evaluate("e => e === document.activeElement")
    assert page.evaluate("window.scrollY") == 900
    assert reader.complaints == []


def test_what_is_about_to_be_pressed_never_becomes_something_else(
    seeded: dict[str, Any], person: Callable[..., Person]
) -> None:
    """A button that goes away is not turned into the next one, and a press on what has just come there does nothing."""
    reader, draft = person("manager", locale="en"), seeded["draft"]
    reader.go(reverse("release", args=[draft.pk]))
    page = reader.page
    page.wait_for_timeout(1500)
    buttons = page.locator("#next .r-btn:not(.off):visible")
    assert buttons.all_inner_texts() == ["Set scheduled start", "Lock scope"]
    first = buttons.first.element_handle()
    address = first.get_attribute("href")
    place = first.bounding_box()
    page.mouse.move(place["x"] + 20, place["y"] + 10)
    alter(draft, commit="", tree="", branch="")
    expect(buttons.first).to_have_text("Select commit", timeout=3000)
    page.mouse.down()
    page.mouse.up()
    assert first.get_attribute("href") == address and reader.path == reverse("release", args=[draft.pk])
    page.wait_for_timeout(800)
    with page.expect_navigation():
        page.mouse.click(place["x"] + 20, place["y"] + 10)
    assert reader.path == reverse("operation", args=["release", "select_commit", draft.pk])


def test_a_deployment_is_followed_and_typed_text_stays(seeded: dict[str, Any], person: Callable[..., Person]) -> None:
    """To its next state and its next step's log, without a reload, while a text is being searched for."""
    reader, running = person("operator", locale="en"), seeded["running"]
    reader.go(reverse("deployment", args=[running.pk]))
    page = reader.page
    page.evaluate("window.mine = 1")
    page.locator("[data-find]").fill("wanted")
    first = running.steps.get(state="running")
    with acting(COMMAND), operation("test:output", (type(running), running.pk)):
        StepOutput.objects.create(step=first, fencing_token=1, text="a line of the first step\n")
    expect(page.locator("[data-log]")).to_contain_text("a line of the first step", timeout=5000)
    with acting(COMMAND), operation("test:next", (type(running), running.pk), (type(first), first.pk)) as op:
        op.get(type(running)).start_verification()
        op.get(type(first)).succeed()
    expect(page.locator("[data-live-state]")).to_have_text("Verifying", timeout=3000, ignore_case=True)
    assert page.locator("[data-find]").input_value() == "wanted" and page.evaluate("window.mine") == 1
    assert reader.complaints == []


def test_a_page_that_nobody_sees_rests(seeded: dict[str, Any], person: Callable[..., Person]) -> None:
    """It holds no connection, and catches up as soon as it is seen again."""
    reader, draft = person("manager", locale="en"), seeded["draft"]
    reader.go(reverse("release", args=[draft.pk]))
    page = reader.page
    page.wait_for_timeout(1500)
    hide = "h => { Object.defineProperty(document, 'hidden', { configurable: true, get: () => h }); "
    hide += "document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(hide, True)
    alter(draft, title="while it was hidden")
    page.wait_for_timeout(2500)
    assert "while it was hidden" not in str(page.locator(".r-head .r-sub").text_content())
    page.evaluate(hide, False)
    title_is(page, "while it was hidden", 2)
    alter(draft, title="after it is seen")
    title_is(page, "after it is seen", 2)


def test_my_tasks_live(seeded: dict[str, Any], person: Callable[..., Person]) -> None:
    reader = person("manager", locale="en")
    reader.go(reverse("admin:index"))
    page = reader.page
    page.wait_for_timeout(6000)
    alter(seeded["draft"], title="seen on the first page")
    expect(page.locator("main.ringi")).to_contain_text("seen on the first page", timeout=7000)


@pytest.mark.parametrize("case", ["no stream", "a stream that does not answer"])
def test_without_a_stream_the_page_asks(
    case: str,
    chromium: Browser,
    database: str,
    static_files: None,
    seeded: dict[str, Any],
    browsers: Callable[[str], Any],
    state_folder: Path,
    tmp_path: Path,
) -> None:
    from django.conf import settings

    (state_folder / "static").symlink_to(settings.STATIC_ROOT)
    nobody = "http://127.0.0.1:9/live/" if case != "no stream" else ""
    with serving(database, tmp_path / "web.log", RINGI_LIVE_URL=nobody) as site:
        context = chromium.new_context(**DESK, locale="en")
        session = browsers("manager").cookies["sessionid"].value
        cookies = {"sessionid": session, "django_language": "en"}
        context.add_cookies([{"name": key, "value": value, "url": site} for key, value in cookies.items()])
        page = context.new_page()
        page.goto(site + reverse("release", args=[seeded["draft"].pk]))
        page.wait_for_timeout(15000 if nobody else 1000)
        alter(seeded["draft"], title="asked for")
        title_is(page, "asked for", 12)
        expect(page.locator("[data-live]")).to_have_text(re.compile("^Kept up to date"))
        context.close()


def test_the_page_says_that_the_connection_is_lost_and_that_the_session_has_ended(
    chromium: Browser,
    database: str,
    static_files: None,
    seeded: dict[str, Any],
    browsers: Callable[[str], Any],
    state_folder: Path,
    tmp_path: Path,
) -> None:
    from django.conf import settings

    (state_folder / "static").symlink_to(settings.STATIC_ROOT)
    client = browsers("manager")
    context = chromium.new_context(**DESK, locale="en")
    page = context.new_page()

    def opened(site: str) -> None:
        cookies = {"sessionid": client.cookies["sessionid"].value, "django_language": "en"}
        context.add_cookies([{"name": key, "value": value, "url": site} for key, value in cookies.items()])
        page.goto(site + reverse("release", args=[seeded["draft"].pk]))
        expect(page.locator("[data-live]")).to_have_text(re.compile("^Kept up to date"))
        page.wait_for_timeout(1500)

    with serving(database, tmp_path / "web.log") as site:
        opened(site)
    expect(page.locator("[data-live]")).to_have_text(re.compile("^The connection is lost"), timeout=5000)
    with serving(database, tmp_path / "web.log") as site:
        opened(site)
        client.session.flush()
        expect(page.locator("[data-live]")).to_have_text(re.compile("^The page is no longer"), timeout=30000)
    context.close()
