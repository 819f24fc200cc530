"""The table of `make kit` cannot be green by itself, and its reading of pages and units is that of their readers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.guide import commands
from tests.kit.table import NotDone, Table
from tests.kit.unit_file import one, read, words


def fails() -> str:
    raise AssertionError("seen otherwise")


def not_here() -> str:
    raise NotDone("no such part")


@pytest.mark.parametrize(
    ("look", "shown"),
    [(fails, "FAILED: seen otherwise"), (not_here, "not done: no such part"), (str, "FAILED: nothing")],
)
def test_a_row_that_has_seen_nothing_good_ends_with_1(
    look: object, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table = Table()
    table.row("first", lambda: "seen")
    table.row("second", look, needed=True)  # type: ignore[arg-type]
    table.row("third", lambda: "seen")
    assert table.end() == 1
    first, second, third, total = capsys.readouterr().out.splitlines()
    assert first.startswith("first | ok: seen | ") and second.startswith(f"second | {shown}")
    assert third.startswith("third | not done: it needs “second”") and total.startswith("1 of 3 rows ok")


def test_only_a_table_with_rows_is_green() -> None:
    table = Table()
    assert table.end() == 1
    table.row("one", lambda: "seen")
    assert table.end() == 0


def test_a_page_is_played_as_it_is_written() -> None:
    assert commands("   # first \\\n   >   more\n   # second\n") == "first \\\n  more\nsecond"
    with pytest.raises(ValueError, match="neither a command"):
        commands("$ as another person\n")


def test_a_unit_is_read_as_systemd_reads_it(tmp_path: Path) -> None:
    file, more = tmp_path / "a@.service", tmp_path / "more.conf"
    file.write_text("[Service]\n# User=root\nUser=ringi-%i\nExecStart=/bin/a \\\n  b\nReadWritePaths=/a\nAmbient=x\n")
    more.write_text("ReadWritePaths=/b /c\nAmbient=\nAmbient=y\n")
    unit = read(file, more, instance="production")
    assert one(unit, "User") == "ringi-production" and one(unit, "ExecStart").split() == ["/bin/a", "b"]
    assert words(unit, "ReadWritePaths") == ["/a", "/b", "/c"] and unit["Ambient"] == ["y"]
    assert one(unit, "Group", "none") == "none"
