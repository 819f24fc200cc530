"""The health page: does the database answer, does the queue answer? For probes; tells nothing else."""

from __future__ import annotations

import django_rq
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError


def database_answers() -> bool:
    """Tell whether PostgreSQL answers."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return cursor.fetchone() == (1,)
    except DatabaseError:
        return False


def queue_answers() -> bool:
    """Tell whether the queue's server answers."""
    try:
        return bool(django_rq.get_connection(settings.ENVIRONMENT_QUEUES[0]).ping())
    except RedisError:
        return False


@login_not_required
@never_cache
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """Answer 200 when the database answers (nothing is lost without the queue), else 503."""
    database, queue = database_answers(), queue_answers()
    return JsonResponse(
        {"ok": database and queue, "database": database, "queue": queue}, status=200 if database else 503
    )
