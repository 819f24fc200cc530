"""The other ways to use the pages than a mouse on a desk: a touch screen, and the keyboard alone."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Locator

from tests.browser.person import Person

# What is wrong on a small screen although the page is not wider than it: words of a control that are cut off.
CUT = """() => [...document.querySelectorAll('main.ringi :is(a.r-btn, button, summary, .r-chip, select)')]
  .filter(e => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== 'visible')
  .map(e => `cut off: ${e.textContent.trim().slice(0, 60)}`)"""
# The smallest side of a control of its own, in CSS pixels, after WCAG 2.5.8; a link within a sentence may be smaller.
SMALLEST = 24

# Keeps how each control looks without the focus, and says of the focused one how it looks with it. What contains it
# counts as well: a field may have its outline around the label.
FOCUS = """() => {
  const looks = window.looks ??= new WeakMap();
  const look = (e) => {
    const style = getComputedStyle(e);
    const line = style.outlineStyle === 'none' || style.outlineWidth === '0px' ? '' : style.outline;
    return `${line}|${style.boxShadow}`;
  };
  const now = document.activeElement;
  const around = (e) => [e, e.parentElement, e.parentElement?.parentElement].filter(Boolean);
  const none = now === document.body || now === document.documentElement;
  // The browser rings the button within a field of dates itself; the field then has no focus of its own.
  const own = /^date/.test(now.type) && !now.matches(':focus');
  const seen = own || !none && around(now).some(e => looks.has(e) && looks.get(e) !== look(e));
  const box = now.getBoundingClientRect();
  const free = none || [[.5, .5], [.1, .5], [.9, .5], [.5, .1], [.5, .9]].some(([x, y]) => {
    const e = document.elementFromPoint(box.left + box.width * x, box.top + box.height * y);
    return e && (now.contains(e) || e.control === now || getComputedStyle(now).display === 'inline' && e.contains(now)
      && !e.contains(document.querySelector('main')));
  });
  for (const e of document.querySelectorAll('a, button, input, select, textarea, summary, [tabindex]'))
    for (const one of around(e))
      if (!one.contains(now) && !looks.has(one)) looks.set(one, look(one));
  const skips = now.matches('.r-skip');
  return { none, seen, free, skips, name: none ? 'body' : now.outerHTML.replace(/\\s+/g, ' ').slice(0, 160) };
}"""

# The links that lead a person from the beginning of a page to a control: to its section where the page lists its
# sections, else to the content. A page that was opened at another section begins there; Ctrl+K leads to its head.
ROUTE = """(e) => {
  const holds = (hash) => hash.length > 1 && !!document.getElementById(hash.slice(1))?.contains(e);
  const to = (links) => [...document.querySelectorAll(links)].map(a => a.hash).find(h => h !== '#content' && holds(h));
  if (!e.closest('main') || location.hash.length > 1 && holds(location.hash)) return [];
  if (location.hash.length > 1) return ['#find'];
  const skip = to('.r-skip'), section = to('#sections a');
  if (skip && skip !== '#sections') return [skip];
  if (section) return ['#sections', section];
  return document.querySelector('.r-skip') ? ['#content'] : [];
}"""


@dataclass
class Touch(Person):
    """Taps on a phone; after each page that it opens, nothing may reach over the screen or be cut off."""

    def use(self, place: Locator) -> None:
        """Tap what is large enough for a finger."""
        box = place.bounding_box()
        assert box is not None
        if place.evaluate("e => getComputedStyle(e).display !== 'inline'"):
            assert min(box["width"], box["height"]) >= SMALLEST, (self.page.url, box, place.inner_text())
        place.tap()

    def arrived(self) -> None:
        """Look at the page as a whole."""
        wrong = self.wider_than_the_screen + list(self.page.evaluate(CUT))
        assert not wrong, (self.page.url, wrong)


@dataclass
class Keyboard(Person):
    """Uses the keys alone: each control is reached by Tab, from the skip link or where the focus is.

    keys: presses; walks: (presses of Tab, address, what was reached) of each way to a control.
    """

    keys: int = 0
    walks: list[tuple[int, str, str]] = field(default_factory=list)

    def key(self, name: str) -> None:
        """Press one key."""
        self.keys += 1
        self.page.keyboard.press(name)

    def focused(self) -> dict[str, Any]:
        """Return whether the focus can be seen, and on what it is."""
        return dict(self.page.evaluate(FOCUS))

    def is_at(self, place: Locator) -> bool:
        """Tell whether an element has the focus."""
        return bool(place.evaluate("e => e === document.activeElement"))

    def nearest(self, selector: str) -> Locator:
        """Return the control in the section at which the page was opened, else the first one."""
        section = urlsplit(self.page.url).fragment
        here = self.page.locator(f"#{section}").locator(selector)
        return here.first if section and here.count() else super().nearest(selector)

    def reach(self, place: Locator) -> None:
        """Move the focus to a control, on a new page by its skip links and the links to its sections.

        Each stop on the way must be visible and covered by nothing.
        """
        if self.is_at(place):
            return
        tabs = 0
        if self.focused()["none"]:
            for target in place.evaluate(ROUTE):
                if target == "#find":
                    self.key("Control+k")
                else:
                    tabs += self.tab_to(self.page.locator(f'a[href="{target}"]:is(.r-skip, #sections a)'))
                    self.key("Enter")
        tabs += self.tab_to(place)
        self.walks.append((tabs, urlsplit(self.page.url).path, str(place).split("selector=")[-1]))

    def tab_to(self, place: Locator) -> int:
        """Press Tab or Shift+Tab until a control has the focus; return how often."""
        tabs = 0
        while not self.is_at(place):
            before = place.evaluate(
                "e => !!(document.activeElement.compareDocumentPosition(e) & Node.DOCUMENT_POSITION_PRECEDING)"
            )
            self.key("Shift+Tab" if before else "Tab")
            self.seen()
            tabs += 1
            assert tabs < 400, f"{self.page.url}: {place} was not reached"
        return tabs

    def seen(self) -> None:
        """Check that what has the focus looks focused, and that nothing lies over it."""
        found = self.focused()
        assert not found["none"], f"{self.page.url}: the focus is on nothing"
        self.complaints += [
            f"{self.path}: the focus {how}: {found['name']}"
            for fine, how in ((found["seen"], "cannot be seen"), (found["free"], "is covered"))
            if not fine
        ]

    def use(self, place: Locator) -> None:
        """Reach a link or a button, and press Enter on it."""
        self.reach(place)
        self.key("Enter")

    def tick(self, place: Locator) -> None:
        """Tick a box with the space bar."""
        self.reach(place)
        if not place.is_checked():
            self.key("Space")
        assert place.is_checked()

    def pick(self, place: Locator, value: str) -> None:
        """Choose in a list by its value or its words, with the arrow keys."""
        self.reach(place)
        options = place.evaluate("e => [...e.options].map(o => [o.value, o.label])")
        wanted = next(index for index, option in enumerate(options) if value in option)
        now = int(place.evaluate("e => e.selectedIndex"))
        for _step in range(abs(wanted - now)):
            self.key("ArrowDown" if wanted > now else "ArrowUp")
        assert place.evaluate("e => e.selectedIndex") == wanted, (self.page.url, value, options)

    def write(self, place: Locator, text: str) -> None:
        """Type a text in place of what is in a field; a time goes into the parts of its field, as a
        browser in American English orders them.
        """
        self.reach(place)
        if place.get_attribute("type") == "datetime-local":
            year, month, day, hour, minute = map(int, re.findall(r"\d+", text))
            for part in (f"{month:02}", f"{day:02}", f"{year}"):
                self.typed(part)
            self.key("ArrowRight")
            for part in (f"{(hour - 1) % 12 + 1:02}", f"{minute:02}", "pm" if hour >= 12 else "am"):
                self.typed(part)
        else:
            self.key("Control+A")
            self.typed(text)
        assert place.input_value().replace("\r\n", "\n") == text, (place.input_value(), text)

    def typed(self, text: str) -> None:
        """Type; what a keyboard writes through an input method arrives as it is."""
        self.keys += len(text)
        for line, part in enumerate(text.split("\n")):
            if line:
                self.page.keyboard.press("Enter")
            if part.isascii():
                self.page.keyboard.type(part)
            else:
                self.page.keyboard.insert_text(part)

    def open(self, path: str, words: str) -> None:
        """Find a page by words with Ctrl+K, and follow the link of what was found."""
        if self.page.url == "about:blank":
            self.go("/admin/")
        self.key("Control+k")
        assert self.is_at(self.page.locator("#find")), self.focused()
        self.typed(words)
        with self.page.expect_navigation():
            self.key("Enter")
        found = self.page.locator(f'main a[href="{path}"]').first
        self.reach(found)
        with self.page.expect_navigation():
            self.use(found)
