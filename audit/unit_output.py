"""What a command says when it runs as a unit: lines of the log, where these are JSON."""

import logging
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand


class Lines:
    """In place of a command's output: each text becomes a line of the log."""

    def __init__(self, log: logging.Logger, level: int) -> None:
        self.log, self.level = log, level

    def write(self, text: str = "", *_style: Any, **_options: Any) -> None:
        """Log one text; nothing for an empty one."""
        if text.strip():
            self.log.log(self.level, "%s", text.strip())

    def flush(self) -> None:
        """Do nothing: each line is written at once."""


def say_in_log(command: BaseCommand) -> None:
    """Let a command that runs as a unit say everything in the log, the error that ends it too."""
    if getattr(settings, "LOG_FORMAT", "line") == "json":
        log: Any = logging.getLogger(type(command).__module__)
        command.stdout, command.stderr = Lines(log, logging.INFO), Lines(log, logging.ERROR)  # type: ignore[assignment]
