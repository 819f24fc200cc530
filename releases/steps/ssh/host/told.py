"""The texts of what runs on a target's host, as the request brought them: in the language of whoever asked."""

from __future__ import annotations

from collections.abc import Mapping

_texts: dict[str, str] = {}


def tell(texts: Mapping[str, str]) -> None:
    """Take English → the language of whoever asked."""
    _texts.update(texts)


def gettext(message: str) -> str:
    """Return the text in the language of whoever asked; English for one that was not brought."""
    return _texts.get(message, message)
