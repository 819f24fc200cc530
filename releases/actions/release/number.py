"""Numbers of releases without gaps per fiscal year (April to March, Asia/Tokyo), given under a lock."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import connection

from releases.models import Release


def next_number(moment: datetime) -> str:
    """Return the next `FY2026-0001`; call inside the door, the lock holds until its commit."""
    local = moment.astimezone(ZoneInfo("Asia/Tokyo"))
    year = local.year if local.month >= 4 else local.year - 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('ringi_release_number'))")
    last = Release.objects.filter(number__startswith=f"FY{year}-").order_by("-number").first()
    count = int(str(last.number).rsplit("-", 1)[1]) if last is not None else 0
    return f"FY{year}-{count + 1:04d}"
