"""What the documentation's site is given: the glossary of the pages, and Japanese paragraphs without stray spaces."""

from __future__ import annotations

import re
from types import SimpleNamespace

from config.development.docs_site import FILES, on_page_markdown, page
from releases.glossary import terms
from tests.architecture.files import ROOT, tracked


def test_every_page_stands_in_the_site_s_contents() -> None:
    """The site is built with warnings as errors: one page that is not there, and there is no site."""
    contents = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2]
    listed = set(re.findall(r"- (?:[^:\n]+: )?(\S+\.md)$", contents, re.MULTILINE))
    made = {f"reference/{name}" for name in ("glossary.md", "glossary.ja.md")}
    written = {name.removeprefix("docs/") for name in tracked() if name.startswith("docs/") and name.endswith(".md")}
    assert listed == written | made


def test_the_glossary_is_the_one_of_the_pages() -> None:
    """Each term with its anchor in both languages, and only links that lead somewhere."""
    for language in FILES:
        text = page(language)
        for term in terms().values():
            assert f"## {term.name(language)} {{ #{term.key} }}" in text and term.text(language) in text


def test_lines_of_japanese_are_joined_and_nothing_else_is() -> None:
    """Paragraphs, lists, tables, code and English stay as they are."""
    text = "一行目、\n二行目。\n\n次の段落\n  続き\n* 項\n| 表 |\n| 行 |\nand\n英語\n"
    japanese, english = (SimpleNamespace(file=SimpleNamespace(src_uri=name)) for name in ("a.ja.md", "a.md"))
    joined = on_page_markdown(text, japanese, None, None)
    assert joined == "一行目、二行目。\n\n次の段落続き\n* 項\n| 表 |\n| 行 |\nand\n英語\n"
    assert on_page_markdown(text, english, None, None) == text
