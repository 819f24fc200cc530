"""Brings the freezes of the environments in line with a procedure, inside the operation that puts it into effect."""

from datetime import time, timedelta

from audit.clock import now
from environments.models import ChangeFreeze, Environment
from releases.procedures.document import Procedure as Content


def apply_freezes(content: Content) -> None:
    """Set the freezes that a procedure names, and lift those that it names no more, inside an open operation."""
    moment, places = now(), {place.slug: place for place in Environment.objects.all()}
    earlier = list(ChangeFreeze.objects.in_effect().filter(from_procedure=True))
    for row in content.freezes:
        for place in (places[key] for key in row.environments):
            values = {
                "name": row.label(content.main_language()),
                "environment_id": place.pk,
                "rrule": row.rrule,
                "start": time.fromisoformat(row.start),
                "length_minutes": row.length_minutes,
                "full": row.full,
            }
            same = next((f for f in earlier if all(getattr(f, name) == value for name, value in values.items())), None)
            if same is not None:
                earlier.remove(same)
                continue
            # One that has begun before the version counts as well.
            begins = moment - timedelta(minutes=row.length_minutes)
            ChangeFreeze.objects.create(
                **values, starts_at=begins, ends_at=ChangeFreeze.FOREVER, from_procedure=True, reason=content.version
            )
    for freeze in earlier:
        freeze.lifted_at = moment
        freeze.save()
