"""Which Latin words a Japanese page still shows that are no names, units or codes."""

from __future__ import annotations

import re

from playwright.sync_api import Page

WORD = re.compile(r"[A-Za-z][A-Za-z'’]{2,}")
ALLOWED: frozenset[str] = frozenset()
# What people wrote, what programs are called and what is a key or a digest is left out where it is marked as such.
TEXT = """() => {
  const skip = 'code, pre, script, style, option, [lang]:not(html), .material-symbols-outlined, .r-diff, .r-exact';
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (!parent.closest(skip) && parent.checkVisibility()) found.push(walker.currentNode.textContent.trim());
  }
  return found.filter(t => t);
}"""


def latin_words(page: Page) -> list[str]:
    """Return the visible texts of a page that hold a Latin word of three letters or more on no list."""
    texts = [str(text) for text in page.evaluate(TEXT)]
    return sorted({text for text in texts if any(word not in ALLOWED for word in WORD.findall(text))})
