"""The tutorial *Your own application*, done as it is written: commands in a shell, buttons and forms in a browser."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, Error, Locator, Page, TimeoutError

from config.development.ports import free_port
from environments.targets.service_proof import running_service
from releases.demo.site import one_time
from releases.step_types.service_control import stop_service
from tests.applications.organisation import running
from tests.chaos.tree import copied

pytestmark = pytest.mark.timeout(900)
PROJECT = Path(__file__).resolve().parents[2]
PAGES = [PROJECT / "docs" / "tutorial" / name for name in ("your-application.md", "to-production.md")]
PASSWORD = "a-longer-way-in-2026"  # noqa: S105  of accounts that live as long as this test
MOST_CLICKS, MOST_SECONDS = 60, 20 * 60
SELECTABLE = re.compile(r"^(?:\*\*As (?P<person>\w+)\*\*$|## (?P<title>.+)$)")
ACTION = re.compile(r"(?:[Pp]ress|then) +\*\*(?P<press>[^*]+)\*\*|Wait +for +\*\*(?P<wait>[^*]+)\*\*")


class Visitor:
    """One person before a browser of their own. clicks: links and buttons pressed, those of sign-in and signing too."""

    def __init__(self, browser: Browser, site: str, name: str) -> None:
        self.name, self.site, self.clicks = name, site, 0
        context = browser.new_context(locale="en", viewport={"width": 1366, "height": 900})
        context.set_default_timeout(60_000)
        self.page: Page = context.new_page()

    def enrol(self, link: str) -> None:
        """Open an invitation, choose a password, sign in, and set up the authenticator app."""
        self.page.goto(link)
        for field in ("password1", "password2"):
            self.page.locator(f'[name="{field}"]').fill(PASSWORD)
        self.submit()
        self.page.locator("#id_login").fill(self.name)
        self.page.locator("#id_password").fill(PASSWORD)
        self.submit()
        self.follow(self.page.locator('a[href="/account/mfa/totp/activate/"]').first)
        self.sign()
        key = re.search(r"[A-Z2-7]{16,}", self.page.locator("code").first.text_content() or "")
        assert key is not None, self.text
        for _try in range(2):  # On a busy machine the first code may be too old when it arrives.
            if "recovery-codes" not in self.page.url:
                self.page.locator("#id_code").fill(one_time(key[0]))
                self.submit()
        assert "recovery-codes" in self.page.url, self.text

    def submit(self) -> None:
        """Press the one button of a page of the account."""
        self.follow(self.page.locator("main form button.main, main form button[type=submit]").first)

    def follow(self, place: Locator) -> None:
        """Click, and wait for the page that follows."""
        self.clicks += 1
        with self.page.expect_navigation():
            place.click()

    def sign(self) -> None:
        """Type the password where it is asked for."""
        if "/account/reauthenticate/" in self.page.url:
            self.page.locator("#id_password").fill(PASSWORD)
            self.submit()

    def press(self, words: str) -> None:
        """Press the link or button with these words; of several that of the page before that of the sidebar."""
        self.follow(self.found(words))
        self.sign()
        assert not self.page.locator(".r-error").count() and "was not carried out" not in self.text, self.text

    def found(self, words: str) -> Locator:
        """Return the link or button with these words."""
        for within in ("form.r-form", ".ringi", "body"):
            for place in self.page.locator(f"{within} a:visible, {within} button:visible").all():
                if re.fullmatch(rf"(?:[a-z_]+\s+|←\s*)?{re.escape(words)}\s*✍?", place.inner_text().strip()):
                    return place  # the links of the sidebar begin with the name of their icon
        raise AssertionError(f"{self.name} finds no “{words}” on {self.page.url}:\n{self.text}")

    def fill(self, label: str, value: str) -> None:
        """Fill in a field by its label: text, a choice by its words, or ticks by theirs."""
        form = self.page.locator("form.r-form")
        for field in form.locator(".r-field").all():
            named = field.locator("label, legend").first
            if not re.match(re.escape(label) + r"(?:$|\s)", (named.text_content() or "").strip()):
                continue
            folded = field.locator("xpath=ancestor::details[not(@open)]")
            if folded.count():
                folded.locator("summary").first.click()
            ticks = field.locator('input[type="checkbox"]')
            if ticks.count() > 1:
                for words in value.split(", "):
                    field.get_by_label(words, exact=True).check()
            elif ticks.count():
                ticks.check()
            elif (chosen := field.locator("select")).count():
                chosen.select_option(label=value.split(", "))
            else:
                field.locator("input, textarea").first.fill(value)
            return
        raise AssertionError(f"no field “{label}” on {self.page.url}:\n{self.text}")

    @property
    def text(self) -> str:
        """Return what the page shows."""
        return self.page.locator("main").first.inner_text()


class Reader:
    """Does what the page says, line by line."""

    def __init__(
        self, visitors: Callable[[str], Visitor], site: str, home: Path, places: dict[str, str], link: str
    ) -> None:
        self.visitors, self.site, self.home, self.places, self.link = visitors, site, home, places, link
        self.people: dict[str, Visitor] = {}
        self.token = ""
        self.at: dict[str, tuple[int, float]] = {}
        self.began = time.monotonic()

    @property
    def clicks(self) -> int:
        """Return the clicks of all people."""
        return sum(one.clicks for one in self.people.values())

    def read(self, text: str) -> None:
        """Do everything of the page."""
        who: Visitor | None = None
        for place, wanted in self.places.items():
            text = text.replace(place, wanted)
        for block in re.split(r"(^ *```console\n.*?^ *```$)", text, flags=re.M | re.S):
            if "```console" in block:
                self.run(block)
                continue
            for line in re.sub(r"(?<=\S)\n *(?=[^\s|#*0-9-]|\*\*)", " ", block).splitlines():
                if found := SELECTABLE.match(line.strip()):
                    if found["title"]:
                        self.at[found["title"]] = (self.clicks, time.monotonic() - self.began)
                    else:
                        who = self.person(found["person"])
                elif who is not None:
                    self.act(who, line.strip())

    def person(self, name: str) -> Visitor:
        """Return a person; a new one enrols by the invitation that was shown last."""
        if name not in self.people:
            self.people[name] = self.visitors(name)
            self.people[name].enrol(self.link)
        return self.people[name]

    def act(self, who: Visitor, line: str) -> None:
        """Do what one line says."""
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0] not in ("field", "---"):
            values = re.findall(r"`([^`]+)`", cells[1]) or [cells[1]]
            if cells[1].startswith("in two minutes"):
                values = [f"{datetime.now(ZoneInfo('Europe/Berlin')) + timedelta(minutes=2):%Y-%m-%dT%H:%M}"]
            full = [re.sub(r"^~", str(self.home), value) for value in values]
            who.fill(cells[0], "\n".join(full))
            return
        for action in ACTION.finditer(line):
            if action["wait"]:
                self.wait(who, action["wait"])
                continue
            who.press(action["press"])
            if given := re.search(r"\bringi_[\w-]+", who.page.locator("body").inner_text()):
                self.token = given[0]
            if shown := re.search(r"http://\S+/invitation/\S+/", who.page.locator("body").inner_text()):
                self.link = shown[0]
                self.person(re.search(r"(\w+) enrols", line)[1].lower())

    def wait(self, who: Visitor, words: str) -> None:
        """Wait until the head of a page shows a state. A page of something under way reloads by itself."""
        place = who.page.locator(".r-head .r-chip", has_text=re.compile(rf"^\s*{re.escape(words)}\s*$")).first
        for _look in range(36):
            try:
                place.wait_for(timeout=5_000)
                return
            except TimeoutError:
                assert place.page.locator(".r-head .r-chip.bad").count() == 0, who.text
                try:
                    who.page.reload()
                except Error as fault:  # the page was just reloading by itself
                    assert "ERR_ABORTED" in str(fault), fault
        raise AssertionError(who.text)

    def run(self, block: str) -> None:
        """Run the commands of a block in one shell, and compare what the page says that they print."""
        indent = len(block) - len(block.lstrip(" "))
        lines = [line[min(indent, len(line) - len(line.lstrip(" "))) :] for line in block.splitlines()[1:-1]]
        script = "\n".join(line.removeprefix("$ ") for line in lines if not self._printed(line, lines))
        if "make up" in script:
            return
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env={**os.environ, "HOME": str(self.home), "RINGI_URL": self.site, "RINGI_TOKEN": self.token},
            capture_output=True,
            text=True,
            timeout=60,
        )
        expected = [line for line in lines if self._printed(line, lines)]
        assert (done.returncode, done.stdout.splitlines()) == (0, expected), (script, done.stdout, done.stderr)

    @staticmethod
    def _printed(line: str, lines: list[str]) -> bool:
        """Tell whether a line is output: it follows a command without being part of it or of its here-document."""
        inside = continued = False
        for one in lines:
            if one is line:
                return not one.startswith("$ ") and not inside and not continued
            inside = (inside or "<<'END'" in one) and one != "END"
            continued = one.endswith("\\")
        return False


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """Start an empty system as the page says; yields its address, the first invitation and a home folder."""
    folder = tmp_path_factory.mktemp("first-hour")
    tree, home = copied(folder / "tree"), folder / "home"
    home.mkdir()
    with running(tree, folder / "up.log", PROCEDURE="releases/procedures/examples/small_team") as (address, _who, link):
        yield address, link, home
        for place in ("hello", "live"):
            if found := running_service(home / "srv" / place):
                stop_service(found, 5, lambda: None)
    tree.remove()


def test_the_tutorial_leads_to_a_verified_deployment_and_to_production(
    chromium: Browser, installed: tuple[str, str, Path], record_property: Callable[[str, Any], None]
) -> None:
    address, link, home = installed
    places = {"8651": str(free_port()), "8652": str(free_port())}
    reader = Reader(lambda name: Visitor(chromium, address, name), address, home, places, link)
    reader.read(PAGES[0].read_text("utf-8"))
    before = reader.clicks
    reader.read(PAGES[1].read_text("utf-8"))
    clicks, seconds = reader.at["7. With a database"]
    print(
        f"first verified deployment: {clicks} clicks, {seconds:.0f} s of machine time; "
        f"to production: {reader.clicks - before} more; all: {reader.clicks} clicks of {len(reader.people)} people"
    )
    assert clicks <= MOST_CLICKS and seconds < MOST_SECONDS
