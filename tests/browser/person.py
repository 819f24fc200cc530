"""One person before a browser: what the tests click, type and read, and what the browser complained about."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import BrowserContext, Locator, Page, Response

from releases.demo.site import one_time
from tests.conftest import PASSWORD, factor_secret


@dataclass
class Person:
    """A signed-out browser with a cookie jar of its own; `clicks` counts the links and buttons that were pressed."""

    name: str
    site: str
    context: BrowserContext
    language: str = "ja"
    page: Page = field(init=False)
    complaints: list[str] = field(default_factory=list)
    clicks: int = 0

    def __post_init__(self) -> None:
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.complaints.append(f"{self.page.url}: {error}"))
        self.page.on("console", self._heard)

    def _heard(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(f"{self.page.url}: {message.text}")

    def sign_in(self) -> None:
        """Come to the first page, be sent to the sign-in, and sign in with the password."""
        self.go("/")
        self.page.locator("#id_login").fill(self.name)
        self.page.locator("#id_password").fill(PASSWORD)
        self.press("main form.r-form button.main")
        for _try in range(2):
            if self.path == "/account/mfa/authenticate/":
                self.page.locator("#id_code").fill(one_time(factor_secret(self.name)))
                self.press("main form.r-form button.main")
            if self.path == "/account/mfa/authenticate/":
                time.sleep(30 - time.time() % 30)  # a code counts once: the next one comes with the half minute
        assert self.path == "/admin/", f"{self.name} was not signed in: {self.text}"

    def go(self, path: str) -> Response:
        """Open an address of the site."""
        answer = self.page.goto(self.site + path)
        assert answer is not None
        return answer

    def open(self, path: str, words: str) -> None:
        """Open the page of a row; words: what finds it."""
        self.go(path)

    def nearest(self, selector: str) -> Locator:
        """Return which of several controls for the same is used."""
        return self.page.locator(selector).first

    def reach(self, place: Locator) -> None:
        """Come to a control, before it is used."""

    def use(self, place: Locator) -> None:
        """Click a control."""
        place.click()

    def tick(self, place: Locator) -> None:
        """Tick a box."""
        place.check()

    def pick(self, place: Locator, value: str) -> None:
        """Choose in a list by its value or its words."""
        place.select_option(value)

    def write(self, place: Locator, text: str) -> None:
        """Type a text in place of what is in a field."""
        place.fill(text)

    def arrived(self) -> None:
        """Look at the page that was opened."""

    def press(self, selector: str) -> None:
        """Use a link or a button that leads to another page, and wait for that page."""
        self.clicks += 1
        self.page.locator(selector).first.wait_for()
        place = self.nearest(selector)
        self.reach(place)
        with self.page.expect_navigation():
            self.use(place)
        self.arrived()

    def choose(self, verb: str, within: str = ".ringi") -> None:
        """Click the button of an operation, by its key; open what it is folded into first."""
        button = f'a[data-verb="{verb}"]'
        if not self.page.locator(f"{within} {button}:visible").count():
            self.clicks += 1
            self.use(self.page.locator(f"{within} details.r-others:has({button}) > summary").first)
        self.press(f"{within} {button}:visible")

    def fill(self, **values: Any) -> None:
        """Fill fields of a form by name: text, the choice of a list by value or words, or True for a tick."""
        for name, value in values.items():
            place = self.page.locator(f'form.r-form [name="{name}"]')
            if value is True:
                self.tick(place)
            elif place.evaluate("e => e.tagName") == "SELECT":
                self.pick(place, value)
            else:
                self.write(place, value)

    def send(self, **values: Any) -> None:
        """Fill the form of an operation's page and press its button."""
        self.fill(**values)
        self.press("form.r-form button.main")
        self.confirm_if_asked()

    def do(self, verb: str, within: str = ".ringi", **values: Any) -> None:
        """Click an operation, fill its form and send it, twice where a preview comes first; it must have been done."""
        self.choose(verb, within)
        self.send(**values)
        if self.page.locator("#preview").count():
            self.press("form.r-form button.main")  # a preview was shown first
            self.confirm_if_asked()
        assert "/operation/" not in self.path and "/account/" not in self.path, f"{verb}: {self.text}"

    def confirm_if_asked(self) -> None:
        """Type the password where what was sent is a signature."""
        if self.path == "/account/reauthenticate/":
            self.confirm_identity()

    def confirm_identity(self) -> None:
        """Type the password on the page that asks for it before a signature."""
        assert self.path == "/account/reauthenticate/", self.text
        self.write(self.page.locator("#id_password"), PASSWORD)
        self.press("main form.r-form button.main")

    @property
    def path(self) -> str:
        """Where the browser is, without the site."""
        return self.page.url.removeprefix(self.site).split("#")[0].split("?")[0]

    @property
    def text(self) -> str:
        """The visible text of the page."""
        return self.page.locator("body").inner_text()

    @property
    def wider_than_the_screen(self) -> list[str]:
        """What reaches over the right edge of the screen although the page does not scroll there by itself."""
        return list(
            self.page.evaluate(
                """() => {
                  const edge = document.documentElement.clientWidth;
                  if (document.documentElement.scrollWidth <= edge) return [];
                  return [...document.body.querySelectorAll('*')]
                    .filter(e => e.getBoundingClientRect().right > edge + 1)
                .map(e => `${e.tagName.toLowerCase()}.${e.className} ${Math.round(e.getBoundingClientRect().right)}`)
                    .slice(0, 8).concat([`page ${document.documentElement.scrollWidth} > ${edge}`]);
                }"""
            )
        )
