"""Sizes, names and words of the files."""

from __future__ import annotations

import ast
import re

from .files import APPS, ROOT, python, tracked

LONGEST = 400
WIDEST = 120
BLOCK = (
    "(?:article|dd|details|div|dl|dt|fieldset|figcaption|figure|footer|form|h[1-6]|header|legend|li|main|nav|ol|p|section"
    "|summary|table|tbody|td|th|thead|tr|ul)"
)
BESIDE_A_BLOCK = re.compile(rf"\S *<{BLOCK}\b|</{BLOCK}> *\S")
TEMPLATES = tuple(f"{app}/" for app in APPS)
LONG = {
    "docs/reference/state-machines.md": "made from the edges",
    "CHANGELOG.md": "a list of changes, the newest first",
    "releases/glossary.toml": "a list of terms, one entry each",
    "releases/notifications/templates/default_en.toml": "a text for each event",
    "releases/notifications/templates/default_ja.toml": "a text for each event",
    "tests/mutants.toml": "a list of guards, one entry each",
    "audit/offline/ringi_verify.py": "one file by promise: an auditor takes it away and reads it",
}
PROCEDURE = "releases/procedures/default/"
NOT_NAMES = {"utils", "util", "helpers", "helper", "services", "managers", "core", "common", "signals", "processors"}
TEXT = (".py", ".html", ".md", ".toml", ".css", ".txt", ".cfg", ".sh", ".po", ".ini", ".sql")


def test_the_formatter_leaves_no_line_out() -> None:
    marks = re.compile("# fmt: " + "(skip|off)")
    assert [name for name in tracked() if name.endswith(".py") and marks.search((ROOT / name).read_text("utf-8"))] == []


def test_no_file_is_longer_than_400_lines() -> None:
    long = {
        name
        for name in tracked()
        if name.endswith((".py", ".html", ".md", ".toml", ".css", ".sql"))
        and "/migrations/" not in name
        and len((ROOT / name).read_text(encoding="utf-8").splitlines()) > LONGEST
    }
    assert long == LONG.keys()


def test_a_release_manager_can_read_the_default_procedure() -> None:
    """A comment says what each of its files is, and a line holds one value, or one row of a list."""
    files = {name: (ROOT / name).read_text(encoding="utf-8") for name in tracked() if PROCEDURE in name}
    assert len(files) > 30
    for name, text in files.items():
        assert re.match(r"# [A-Z]", text), name
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        assert max(map(len, text.splitlines())) <= 120, name
        assert not [line for line in lines if re.match(r"[^ ].*\{ ", line)], name


def test_a_template_has_one_element_a_line_and_no_line_longer_than_120() -> None:
    """The formatter leaves what it cannot break, and block elements that touch, as they are."""
    templates = [name for name in tracked() if name.endswith((".html", ".txt")) and name.startswith(TEMPLATES)]
    wrong = [
        f"{name}:{number}"
        for name in templates
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > WIDEST or BESIDE_A_BLOCK.search(line)
    ]
    assert len(templates) > 100 and not wrong


def test_no_module_is_named_after_nothing() -> None:
    parts = {part: name for name in python() for part in name.removesuffix(".py").split("/")}
    assert not {part: name for part, name in parts.items() if part in NOT_NAMES}


def test_every_module_and_every_operation_says_what_it_is() -> None:
    from .files import tree

    undocumented = [
        name
        for name in python(*(f"{app}/" for app in APPS))
        if "/migrations/" not in name and (ROOT / name).stat().st_size and not ast.get_docstring(tree(name))
    ]
    assert not undocumented
    for name in python("releases/operations/", "environments/operations/"):
        for node in tree(name).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{name}: {node.name}"


def test_no_file_names_the_place_where_it_was_written() -> None:
    places = re.compile("|".join((r"(?<![\w.])/" + "work/", r"\.\./" + "shared", "/root/" + r"\w", "/home/" + r"\w")))
    found = {}
    for name in tracked():
        if name.endswith(TEXT) or name in ("Makefile", ".ci/run"):
            match = places.search((ROOT / name).read_text(encoding="utf-8"))
            if match:
                found[name] = match[0]
    assert not found
