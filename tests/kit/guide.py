"""The commands of docs/how-to/install.md, by its steps."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "install.md"
_STEP = re.compile(r"^\d+\. \*\*(.+?)\.\*\*", re.MULTILINE)
_BLOCK = re.compile(r"^( *)```console\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """One step of the page: its title, and its blocks of commands as a shell reads them."""

    title: str
    blocks: tuple[str, ...]


def commands(block: str) -> str:
    """Return the commands of a console block: `# ` begins one, `> ` continues it. Raises ValueError."""
    found = []
    for line in textwrap.dedent(block).splitlines():
        if not line.startswith(("# ", "> ")):
            raise ValueError(f"neither a command of root nor a further line of one: {line}")
        found.append(line[2:])
    return "\n".join(found)


def steps(text: str | None = None) -> Iterator[Step]:
    """Yield the steps of the section *Set it up*."""
    page = PAGE.read_text("utf-8") if text is None else text
    section = page.split("\n## Set it up\n", 1)[1].split("\n## ", 1)[0]
    starts = [*_STEP.finditer(section)]
    for found, following in zip(starts, [*starts[1:], None], strict=True):
        part = section[found.start() : following.start() if following else None]
        yield Step(found[1], tuple(commands(block) for _indent, block in _BLOCK.findall(part)))
