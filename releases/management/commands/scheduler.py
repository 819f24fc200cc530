"""manage.py scheduler: the loop that finds due work."""

from typing import Any

from django.core.management.base import BaseCommand

from audit.roles import guard
from audit.unit_output import say_in_log
from environments.targets import words
from releases.worker.loaded import keep_what_is_loaded
from releases.worker.scheduler import Scheduler


class Command(BaseCommand):
    """Run the scheduler until SIGTERM."""

    help = "Finds what is due and wakes workers; any number may run, one acts."
    # Checks would load every page of the admin; `manage.py check` exists for them.
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Run."""
        say_in_log(self)
        guard()
        words.record()  # The scheduler does not know in which language its texts are read.
        keep_what_is_loaded()
        Scheduler().run()
