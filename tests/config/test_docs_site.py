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


def _code(text: str) -> list[list[str]]:
    """Return the lines of each code block without comments, which are in the language of the page."""
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    lines = ([" ".join(re.sub(r"(^|\s)#.*", "", line).split()) for line in block.splitlines()] for block in blocks)
    return [[line for line in block if line] for block in lines]


def test_japanese_pages_have_the_code_of_the_english_ones() -> None:
    own = {
        "docs/reference/procedure.ja.md": "the original, whose values are Japanese",
        "docs/explanation/auditors.ja.md": "has in one page what English has in several",
        "docs/how-to/configuration-as-code.ja.md": "shows the console in Japanese",
        "docs/how-to/read-the-ledger.ja.md": "shows the console in Japanese, and leaves the script to the English page",
    }
    pairs = {name: name.replace(".ja.md", ".md") for name in tracked() if name.endswith(".ja.md")}
    there = {name: english for name, english in pairs.items() if (ROOT / english).exists() and name not in own}
    assert len(there) > 15 and own.keys() <= pairs.keys()
    differ = [
        name
        for name, english in there.items()
        if _code((ROOT / name).read_text("utf-8")) != _code((ROOT / english).read_text("utf-8"))
    ]
    assert not differ
