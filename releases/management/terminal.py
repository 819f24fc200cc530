"""Commands whose output people read: they print in the language of their terminal."""

import os
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import translation


def terminal_language() -> str:
    """Return ja where the locale of the terminal is a Japanese one, else en."""
    named = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return "ja" if next(filter(None, named), "").startswith("ja") else "en"


class TerminalCommand(BaseCommand):
    """A command in the language of its terminal, whatever that of the installation is."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run it in that language."""
        with translation.override(terminal_language()):
            return super().execute(*args, **options)
