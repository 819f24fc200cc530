"""manage.py worker QUEUE: an RQ worker for one environment, or for `measurements`."""

from typing import Any

import django_rq
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rq.serializers import JSONSerializer

from audit.roles import guard
from audit.unit_output import say_in_log
from environments.models import Environment
from environments.targets import words
from releases.jobs import JOBS
from releases.worker.loaded import keep_what_is_loaded
from releases.worker.rq_worker import RingiJob, RingiWorker


class Command(BaseCommand):
    """Run one worker."""

    help = "Executes the deployments of one environment (or takes samples)."
    # Checks would load every page of the admin; `manage.py check` exists for them.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the queue's name."""
        parser.add_argument("queue", nargs="?", help="left out: list the queues that there are")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run."""
        if options["queue"] is not None:
            say_in_log(self)
        guard()
        known = Environment.queues()
        if options["queue"] is None:
            self.stdout.write("\n".join(known))
            return
        if options["queue"] not in known:
            raise CommandError(f"there is no queue {options['queue']!r}; known: {', '.join(known)}")
        words.record()  # The worker does not know in which language its texts are read.
        queue = django_rq.get_queue(options["queue"])
        keep_what_is_loaded()
        RingiJob.functions = JOBS
        # It sends a heartbeat every 45 s, so that its absence is noticed within two minutes.
        RingiWorker([queue], connection=queue.connection, serializer=JSONSerializer, worker_ttl=60).work(
            with_scheduler=False, logging_level="WARNING"
        )
