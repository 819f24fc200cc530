"""Hooks of MkDocs for the documentation: they print the glossary from the file that the pages read."""

import re
from pathlib import Path
from typing import Any

from releases.glossary import terms

HEADINGS = {
    "en": (
        "Glossary",
        "The words of Ringi. The pages explain the same words behind the question marks beside headings.",
    ),
    "ja": ("用語集", "Ringiの用語。画面では、見出しの横の「?」が同じ説明を表示する。"),
}
# A line that ends and goes on in Japanese: browsers would show its break as a space.
BROKEN = re.compile(r"(?<=[\u3000-\u30ff\u4e00-\u9fff\uff01-\uff5e])\n *(?=[\u3000-\u30ff\u4e00-\u9fff\uff01-\uff5e])")
DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
FILES = {"en": "reference/glossary.md", "ja": "reference/glossary.ja.md"}


def page(language: str) -> str:
    """Return the glossary in a language as Markdown: the word, the other language's word, and what it means."""
    title, words = HEADINGS[language]
    other = "en" if language == "ja" else "ja"
    known = terms()
    lines = [f"# {title}", "", words, ""]
    for term in known.values():
        lines += [
            f"## {term.name(language)} {{ #{term.key} }}",
            "",
            f"*{term.name(other)}*",
            "",
            term.text(language),
            "",
        ]
        if term.see:
            lines += ["→ " + ", ".join(f"[{known[key].name(language)}](#{key})" for key in term.see), ""]
    return "\n".join(lines)


def on_files(files: Any, config: Any) -> Any:
    """Add the glossary in both languages, and the files of `deploy` that pages link to."""
    from mkdocs.structure.files import File

    for path in (path for path in sorted(DEPLOY.rglob("*")) if path.is_file()):
        files.append(File.generated(config, str(path.relative_to(DEPLOY.parent)), abs_src_path=str(path)))
    for language, name in FILES.items():
        files.append(File.generated(config, name, content=page(language)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Join the lines of Japanese paragraphs; links into `deploy`, beside `docs`, lead to its files in the site."""
    markdown = markdown.replace("](../../deploy/", "](../deploy/")
    return BROKEN.sub("", markdown) if page.file.src_uri.endswith(".ja.md") else markdown
