"""Latin words on a Japanese page that are no names, units or keys."""

from __future__ import annotations

import re

from playwright.sync_api import Page

from tests.conftest import CAST

WORD = re.compile(r"[A-Za-z][A-Za-z'’]{2,}")
NOT_WORDS = re.compile(
    r"\b[0-9a-f]{12,}\b|\b[\w.]+:\d+\b|(?<![^\s（：、])/\S+|\{\{ \w+ "
    r"\}\}|\{\w+\}|\b(test|session):\w+|FREQ=[A-Z0-9=;,+-]+"
    r"|\S+@\S+|https://\S+"
)
PEOPLE = {word.title() for name in CAST for word in name.split("_")}
# Actors: people by their names, the command that reads a procedure, and the process that signs.
USERNAMES = {*CAST, "procedure", "· procedure", "ledger_signer", "· ledger_signer"}
NAMES = {
    "Ringi",
    "JST",
    "HTTP",
    "API",
    "CSV",
    "SHA",
    "Python",
    "Asia",
    "Tokyo",
    "RRULE",
    "junit",
    "version",
    "main",
    "feature",
    "release",
    "hotfix",
    "ZIP",
    "DSSE",
    "JSON",
    "Lines",
    "tests",
    "PDF",
    "Slack",
    "RDS",
    "ElastiCache",
    "PostgreSQL",
    "Redis",
    "Four",
    "Keys",
    "DORA",
    "beta",
    "Alertmanager",
    "Ansible",
    "HTML",
    "PEM",
    "Prometheus",
    "SIGKILL",
    "SIGTERM",
    "SSH",
    "Git",
    "GitHub",
    "GitLab",
    "UTF",
    "systemd",
}
KEYS = {
    "datasets",
    "portal",
    "web",
    "development",
    "staging",
    "production",
    "unit",
    "integration",
    "system",
    "acceptance",
}
# What people wrote in the rows that are shown, and the English half of what is kept in both languages.
WRITTEN = (
    "3 of 5 measurements at or over the limit",
    "214 passed",
    "cast of the tests",
    "first procedure of an empty system",
    "Integration tests and verification",
    "Staging",
    "first",
    "状態確認 no",
    "≤ 26 h, digest",
    "prometheus_api、prometheus_text、json_http、sql、command、alerts",
    "「source」と「parameters」",
    "prometheus_text",
    "{“source”, “parameters”}",
    "ringi/documents",
    "manage.py ledger_signer --resume",
    "env (shared/config.env)",
    '{"source": "", "parameters": {"url": ',
)
# What is known to be left: keys in sentences that gates and models make.
LEFT = ("「failures」", "「base」")
# What the ledger signer writes into the ledger is English; its own page marks it as such.
LEDGER_SIGNER = re.compile(
    r"the ledger has \d+ events, but \d+ were signed before: events from number \d+ on are missing"
)
TEXT = """() => {
  const skip = 'code, pre, script, textarea, style, option, [lang]:not(html), .material-symbols-outlined, .r-diff';
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (!parent.closest(skip) && parent.checkVisibility()) found.push(walker.currentNode.textContent.trim());
  }
  for (const option of document.querySelectorAll('option[value=""]')) found.push(option.textContent.trim());
  return found.filter(t => t);
}"""


def latin_words(page: Page) -> list[str]:
    """Return the visible texts of a page that hold a Latin word of three letters or more on no list."""
    return sorted({text for text in map(str, page.evaluate(TEXT)) if _left(text)})


def _left(text: str) -> list[str]:
    if text in USERNAMES:
        return []
    for known in (*WRITTEN, *LEFT):
        text = text.replace(known, "")
    return [
        word
        for word in WORD.findall(NOT_WORDS.sub("", LEDGER_SIGNER.sub("", text)))
        if word not in PEOPLE | NAMES | KEYS
    ]
