"""Numbers of releases without gaps per fiscal year (from April by default, Asia/Tokyo), given under a lock."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection

from releases.models import Release


def next_number(moment: datetime) -> str:
    """Return the next `FY2026-0001`; call inside the operation, the lock holds until its commit."""
    local = moment.astimezone(ZoneInfo("Asia/Tokyo"))
    year = local.year if local.month >= settings.FISCAL_YEAR_START_MONTH else local.year - 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('ringi_release_number'))")
    given = Release.objects.filter(number__startswith=f"FY{year}-").values_list("number", flat=True)
    return f"FY{year}-{max((int(str(n).rsplit('-', 1)[1]) for n in given), default=0) + 1:04d}"
