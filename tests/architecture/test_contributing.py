"""CONTRIBUTING.md shows the tree and the table of changes as they are."""

from __future__ import annotations

import re

import pytest

from .files import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in PAGE.split("| change | file | line |\n", 1)[1].split("\n\n", 1)[0].splitlines()[1:]
]
TREE = PAGE.split("## Structure of the code\n\n```\n", 1)[1].split("\n```", 1)[0]


def test_ten_changes_are_shown() -> None:
    assert len(ROWS) == 10 and len({change for change, _file, _line in ROWS}) == 10


@pytest.mark.parametrize(("change", "file", "line"), ROWS, ids=[row[0] for row in ROWS])
def test_each_change_has_its_file_and_its_line(change: str, file: str, line: str) -> None:
    """As many files as the pattern promises are there, and the tuple or table that the line goes into."""
    found = list(ROOT.glob(re.sub(r"<\w+>", "*", file.strip("`"))))
    assert len(found) > 1, f"{change}: {file}"
    for name in re.findall(r"(?<=`)[\w/]+\.(?:py|toml)(?=`)", line):
        (place,) = {path for top in (ROOT, ROOT / "releases") if (path := top / name).is_file()} or {None}
        assert place is not None, f"{change}: {name}"
        registry = re.search(r"in `([A-Z_]+)` of", line)
        assert registry is None or re.search(rf"^{registry[1]}\b", place.read_text("utf-8"), re.MULTILINE), change
    for folder in re.findall(r"(?<=`)[\w/]+/(?=`)", line):
        assert (ROOT / folder).is_dir(), f"{change}: {folder}"


def test_each_folder_of_the_tree_is_there() -> None:
    top, missing, seen = "", [], 0
    for row in TREE.splitlines():
        if not row.startswith(" "):
            top = row.split("/", 1)[0]
        for word in re.findall(r"[\w/]+/(?![\w<])", row):
            seen += 1
            if not any(
                (base / word).is_dir() for base in (ROOT, ROOT / top, ROOT / top / "reporting", ROOT / top / "admin")
            ):
                missing.append(word)
    assert seen > 30 and missing == []
