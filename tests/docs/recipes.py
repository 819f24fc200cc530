"""The recipes of CONTRIBUTING.md and of the how-to pages: their code, and a tree with it applied."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOW_TO = {"step type": "docs/how-to/add-a-step.md", "gate": "docs/how-to/add-a-gate.md"}
HEADING = re.compile(r"^### Add an? (.+)$", re.MULTILINE)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATH = re.compile(r"`((?:\w+/)+[\w.-]+\.(?:py|toml|html))`")


@dataclass(frozen=True)
class Block:
    """A code block. path: the file that the paragraph before it names; empty for commands and rows without a file."""

    language: str
    path: str
    code: str

    @property
    def added(self) -> list[str]:
        """Return the lines that the block adds, without empty ones."""
        lines = self.code.splitlines()
        return [line for line in lines if (line.startswith("+") if self.language == "diff" else line.strip())]

    def apply(self, tree: Path) -> None:
        """Apply the block to a tree: a command, a change of a file, rows at its end, or a new file."""
        file = tree / self.path
        if self.language == "console":
            for command in self.code.splitlines():
                python, *arguments = shlex.split(command.removeprefix("$ "))
                assert python == ".venv/bin/python", command
                environment = {**os.environ, "PYTHONPATH": str(tree)}
                subprocess.run([sys.executable, *arguments], cwd=tree, env=environment, check=True, capture_output=True)
        elif self.language == "diff":
            file.write_text(patched(file.read_text(encoding="utf-8"), self.code), encoding="utf-8")
        elif self.language == "toml":
            file.write_text(file.read_text(encoding="utf-8") + "\n" + self.code, encoding="utf-8")
        else:
            file.parent.mkdir(exist_ok=True)
            file.write_text(self.code, encoding="utf-8")


def patched(text: str, diff: str) -> str:
    """Return the text with a diff of a page applied; its unchanged lines must stand there once."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if not line.startswith("+"))
    after = "".join(line[1:] for line in lines if not line.startswith("-"))
    assert text.count(before) == 1, before
    return text.replace(before, after)


def blocks(text: str) -> Iterator[Block]:
    """Yield the code blocks of a text; a change that follows another one without words is of the same file."""
    end, path = 0, ""
    for found in BLOCK.finditer(text):
        if words := text[end : found.start()].strip():
            named = PATH.findall(words.rsplit("\n\n", 1)[-1])
            path = named[-1] if named else ""
        yield Block(found[1], path, found[2])
        end = found.end()


def recipes() -> dict[str, list[Block]]:
    """Return what is added → the blocks of its recipe."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = page.split("\n## Recipes\n", 1)[1].split("\n## ", 1)[0]
    _before, *parts = HEADING.split(section)
    found = {name: list(blocks(text)) for name, text in zip(parts[::2], parts[1::2], strict=True)}
    for name, how_to in HOW_TO.items():
        assert f"]({how_to})" in section, f"CONTRIBUTING.md links to {how_to}"
        found[name] = list(blocks((ROOT / how_to).read_text(encoding="utf-8")))
    return found


def row(name: str) -> str:
    """Return the row of a procedure that a recipe shows without a file: a user adds it to their own procedure."""
    (block,) = (block for block in recipes()[name] if block.language == "toml" and not block.path)
    return block.code
