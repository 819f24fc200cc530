"""Compiles the translations without GNU gettext; `--check` fails on a missing, fuzzy or untranslated text."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import polib

PROJECT = Path(__file__).resolve().parents[2]
CATALOGUES = ("locale/ja/LC_MESSAGES/django.po",)
# The names beside `_` under which modules import gettext; xgettext knows none of them.
ALIASES = re.compile(r"\b(?:_now|_t|translated)\((?=\s*\")")


def compile_all() -> None:
    """Write the .mo beside each .po that is newer."""
    for name in CATALOGUES:
        source = PROJECT / name
        compiled = source.with_suffix(".mo")
        if not source.exists() or (compiled.exists() and compiled.stat().st_mtime >= source.stat().st_mtime):
            continue
        with tempfile.NamedTemporaryFile(dir=source.parent, delete=False) as partial:
            partial.write(polib.pofile(str(source)).to_binary())
        Path(partial.name).chmod(0o644)
        Path(partial.name).rename(compiled)


def faults() -> list[str]:
    """Return every text that is not translated: in the catalogue, or in the source and missing there."""
    found = []
    for name in CATALOGUES:
        catalogue = polib.pofile(str(PROJECT / name))
        found += [f"untranslated: {entry.msgid!r}" for entry in catalogue.untranslated_entries()]
        found += [f"fuzzy: {entry.msgid!r}" for entry in catalogue.fuzzy_entries()]
        known = {entry.msgid for entry in catalogue if not entry.obsolete}
        found += [f"not in {name}: {text!r}" for text in sorted(extracted() - known)]
    return found


def extracted() -> set[str]:
    """Return the texts that the source marks for translation, read by makemessages in a copy of the tree."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "tree"
        for top in ("config", "audit", "environments", "releases"):
            shutil.copytree(PROJECT / top, copy / top, ignore=shutil.ignore_patterns("__pycache__", "sample"))
        for file in copy.rglob("*.py"):
            file.write_text(ALIASES.sub("gettext(", file.read_text(encoding="utf-8")), encoding="utf-8")
        (copy / "locale").mkdir()
        subprocess.run(
            [sys.executable, "-m", "django", "makemessages", "--locale", "ja", "--no-obsolete", "--verbosity", "0"],
            cwd=copy,
            check=True,
            env={k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"},
        )
        return {entry.msgid for entry in polib.pofile(str(copy / "locale/ja/LC_MESSAGES/django.po"))}


def main() -> int:
    """Compile, or check."""
    parser = argparse.ArgumentParser(prog="python -m config.development.compile_messages")
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args().check:
        compile_all()
        return 0
    if shutil.which("xgettext") is None:
        print("xgettext is not on this machine: texts missing in the catalogue cannot be found", file=sys.stderr)
        return 2
    found = faults()
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
