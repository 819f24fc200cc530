"""docs/reference/access.md says what the code does: every level, every role, every verb."""

from __future__ import annotations

from pathlib import Path

from environments.roles import DECIDING, LEVELS, ROLE_PERMISSIONS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "access.md"


def table(heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading."""
    rows = []
    for line in PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0].splitlines():
        if line.startswith("|"):
            rows.append([cell.strip().strip("`") for cell in line.strip().strip("|").split("|")])
    return rows


def test_the_levels_are_as_written() -> None:
    head, _rule, *rows = table("Levels and their permissions")
    assert {row[0]: {verb for verb, mark in zip(head[1:], row[1:], strict=True) if mark} for row in rows} == {
        level: set(verbs) for level, verbs in LEVELS.items()
    }


def test_the_roles_are_as_written() -> None:
    _head, _rule, *rows = table("Shipped roles and their permissions")
    assert {row[0]: set(row[1].split(", ")) for row in rows} == {
        role: set(verbs) for role, verbs in ROLE_PERMISSIONS.items()
    }
    assert {row[0] for row in rows if row[2] == "yes"} == DECIDING
