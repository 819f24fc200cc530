"""rollback:communicate: the groups notified of a rollback's preparation, each item of the procedure with its record
(B3).
"""

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from audit.clock import now
from audit.models import Outbox
from audit.operation import Operation, label, operation
from audit.plain import is_blank
from audit.refusals import InvalidInput, NotPossible
from environments import access
from releases.models import FollowUp, Rollback
from releases.notifications.templates.events import KEYS
from releases.queries.notification_plan import planned
from releases.queries.rollback_communication import FOLLOW_UP, communications, event_of, uncommunicated

SHARES_PLAN = "share_plan"


def communicate(rollback_id: int, *, items: Sequence[str], stated: str = "") -> Rollback:
    """Record that the people of some items (keys of the procedure) were notified.

    Ringi sends them a notification now, or, with `stated`, the person says who has notified them otherwise. Raises
    NotPermitted, InvalidInput, NotPossible.
    """
    with operation("rollback:communicate", (Rollback, rollback_id), reason=stated) as op:
        rollback = op.get(Rollback)
        account = access.current_account()
        if not access.may(account, "authorise_rollback", rollback.deployment.environment):
            access.require("assess_rollback")
        if rollback.state in Rollback.ENDS:
            raise NotPossible(_("This rollback has ended."))
        open_ = {row.key: row.label for row in communications(rollback) if row.at is None}
        if not items or not set(items) <= open_.keys():
            raise InvalidInput(_("Choose at least one item that has not been communicated yet."))
        if not rollback.impact and (is_blank(stated) or SHARES_PLAN in items):
            raise InvalidInput(_("Write down impact, method and timing first: they are the plan that is shared."))
        if is_blank(stated):
            for key in items:
                _send(op, rollback, key, open_[key])
        entry = {
            "by": account.pk,
            "name": str(account),
            "at": now().isoformat(),
            "stated": stated.strip(),
            "operation_id": str(op.id),
        }
        done = {**rollback.facts.get("communication", {}), **dict.fromkeys(items, entry)}
        rollback.facts = {**rollback.facts, "communication": done}
        op.details["items"] = list(items)
        if not uncommunicated(rollback):
            _resolve(rollback, account)
    return rollback


def _send(op: Operation, rollback: Rollback, key: str, words: str) -> None:
    """Put the notification of an item into the outbox; raises InvalidInput where it would have no recipient."""
    entry = Outbox(operation_id=op.id, event=event_of(key), object=label(rollback), payload={}, created_at=op.at)
    plan = planned(entry) if entry.event in KEYS else None
    if plan is None or not plan.recipients:
        text = _(
            "The notification rules have no recipient for “%(item)s”. Notify the recipients yourself and state how "
            "you did."
        )
        raise InvalidInput(text % {"item": words})
    op.add_event(entry.event, rollback)


def _resolve(rollback: Rollback, account: Any) -> None:
    follow_ups = FollowUp.objects.select_for_update(no_key=True).filter(
        release=rollback.deployment.release_id, key=FOLLOW_UP, completed_at=None
    )
    for row in follow_ups:
        text = _("The items were communicated on the rollback page.")
        row.completed_at, row.completed_by, row.note = (now(), account, text)
        row.save()
