"""manage.py worker QUEUE: an RQ worker for one environment, or for `samples`."""

from typing import Any

import django_rq
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from rq.serializers import JSONSerializer

from audit.roles import guard
from releases import jobs  # noqa: F401  imported before the fork, so that no job pays for it
from releases.worker.rq_worker import RingiWorker


class Command(BaseCommand):
    """Run one worker."""

    help = "Executes the deployments of one environment (or takes samples)."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the queue's name."""
        parser.add_argument("queue", choices=settings.ENVIRONMENT_QUEUES)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run."""
        guard()
        queue = django_rq.get_queue(options["queue"])
        RingiWorker([queue], connection=queue.connection, serializer=JSONSerializer).work(
            with_scheduler=False, logging_level="WARNING"
        )
