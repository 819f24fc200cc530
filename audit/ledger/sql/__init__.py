"""The SQL of the ledger, a file for each topic."""

from pathlib import Path


def text_of(topic: str) -> str:
    """Return the SQL of a file, from the empty line under the comment at its head."""
    text = Path(__file__).with_name(f"{topic}.sql").read_text(encoding="utf-8")
    return text[text.index("\n\n") + 1 :]
