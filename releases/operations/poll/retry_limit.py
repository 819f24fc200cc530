"""poll:suspend and poll:resume: an automatic task is tried three times, then people are asked."""

import logging
import re
from collections.abc import Callable

from django.db.models import F, Model

from audit.clock import now
from audit.isolated import connection_lost
from audit.operation import label, operation
from audit.refusals import NotPossible
from environments import access
from environments.targets.masking import clean, passwords_in
from environments.targets.words import gettext as _
from releases.models import PollFailure

log = logging.getLogger(__name__)
TRIES = 3


def with_retry_limit[T](
    part: str, row: Model | str, do: Callable[[], T], *, deployment_id: int | None = None, beforehand: bool = False
) -> T | None:
    """Run a task that the scheduler or a worker repeats until it succeeds; return its result, None when it failed.

    A failure here does not delay other tasks. After TRIES failures in a row the task is suspended: it is not run any
    more, notified, and shown with its error until a person resumes it.

    part: a key of PollFailure.PARTS. row: the row of the task. beforehand: each try is noted before it begins, so that
    one that ends its process counts too. A refusal that is no answer to `do` itself is a failure like any other. Raises
    what concerns every task: a lost connection to the database.
    """
    about = row if isinstance(row, str) else label(row)
    known = PollFailure.objects.filter(part=part, object=about)
    before = known.first()
    if before is not None and before.tries >= TRIES:
        _suspend(before)
        return None
    if beforehand:
        _note(part, about, deployment_id, tries=1)
    try:
        found = do()
    except Exception as fault:
        if connection_lost():
            raise
        log.exception("%s of %s", part, about)
        said = f"{type(fault).__name__}: {fault}"
        said = clean(said, passwords_in(re.findall(r"[^\s'\"<>]+", said)))
        failure = _note(part, about, deployment_id, tries=0 if beforehand else 1, error=said)
        if failure.tries >= TRIES:
            _suspend(failure)
        return None
    if before is not None or beforehand:
        known.delete()
    return found


def _note(part: str, about: str, deployment_id: int | None, *, tries: int, error: str = "") -> PollFailure:
    made = {"deployment_id": deployment_id, "failed_at": now()}
    failure, _made = PollFailure.objects.get_or_create(part=part, object=about, defaults=made)
    rows = PollFailure.objects.filter(pk=failure.pk)
    rows.update(tries=F("tries") + tries, failed_at=now(), error=error or failure.error)
    return rows.get()


def _suspend(failure: PollFailure) -> None:
    """Suspend a task that has failed TRIES times and ask people about it, once."""
    if failure.suspended_at is not None:
        return
    with operation("poll:suspend", (PollFailure, failure.pk)) as op:
        held = op.get(PollFailure)
        held.suspended_at = op.at
        # Without an error of its own, the process that tried it has ended each time.
        held.error = held.error or _("The process ended at each attempt.")
        op.details.update(part=held.part, about=held.object, tries=held.tries, error=held.error)


def resume(failure_id: int, *, reason: str) -> None:
    """Resume a task: it is tried TRIES times again."""
    with operation("poll:resume", (PollFailure, failure_id), reason=reason) as op:
        failure = op.get(PollFailure)
        if failure.deployment is not None:
            access.require("decide", failure.deployment.environment)
        else:
            access.require("prepare")
        op.require_reason()
        if failure.suspended_at is None:
            raise NotPossible(_("Ringi is still retrying this automatically."))
        failure.tries, failure.suspended_at = 0, None
        op.details.update(part=failure.part, about=failure.object, error=failure.error)
