"""rollback:communicate: whom the preparation of a rollback tells, each item of the procedure with its record (B3)."""

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from audit.change import Act, change, label
from audit.clock import now
from audit.models import Outbox
from audit.refusals import Invalid, WrongState
from environments import access
from releases.actions.notice.make import planned
from releases.actions.rollback.communicated import OBLIGATION, communications, event_of, uncommunicated
from releases.letters.events import KEYS
from releases.models import FollowUp, Rollback

SHARES_PLAN = "share_plan"


def communicate(rollback_id: int, *, items: Sequence[str], stated: str = "") -> Rollback:
    """Record that the people of some items (keys of the procedure) were told: by a notification that Ringi sends now, or,
    with `stated`, as the person says who has told them otherwise. Raises NotYou, Invalid, WrongState.
    """
    with change("rollback:communicate", (Rollback, rollback_id), reason=stated) as act:
        rollback = act.get(Rollback)
        account = access.current_account()
        if not access.may(account, "authorise_rollback", rollback.deployment.environment):
            access.require("assess")
        if rollback.state in Rollback.ENDS:
            raise WrongState(_("This rollback has ended."))
        open_ = {row.key: row.label for row in communications(rollback) if row.at is None}
        if not items or not set(items) <= open_.keys():
            raise Invalid(_("Choose at least one item that has not been communicated yet."))
        if not rollback.impact and not (stated.strip() and SHARES_PLAN not in items):
            raise Invalid(_("Write down impact, method and timing first: they are the plan that is shared."))
        if not stated.strip():
            for key in items:
                _send(act, rollback, key, open_[key])
        entry = {
            "by": account.pk,
            "name": str(account),
            "at": now().isoformat(),
            "stated": stated.strip(),
            "act": str(act.id),
        }
        done = {**rollback.facts.get("communication", {}), **dict.fromkeys(items, entry)}
        rollback.facts = {**rollback.facts, "communication": done}
        act.details["items"] = list(items)
        if not uncommunicated(rollback):
            _settle(rollback, account)
    return rollback


def _send(act: Act, rollback: Rollback, key: str, words: str) -> None:
    """Have the outbox tell of an item; raises Invalid where that would reach nobody."""
    entry = Outbox(operation_id=act.id, event=event_of(key), object=label(rollback), payload={}, created_at=act.at)
    plan = planned(entry) if entry.event in KEYS else None
    if plan is None or not plan.recipients:
        text = _(
            "The notification rules have no recipient for “%(item)s”. Notify the recipients yourself and state how "
            "you did."
        )
        raise Invalid(text % {"item": words})
    act.tell_also(entry.event, rollback)


def _settle(rollback: Rollback, account: Any) -> None:
    owed = FollowUp.objects.select_for_update(no_key=True).filter(
        release=rollback.deployment.release_id, key=OBLIGATION, completed_at=None
    )
    for row in owed:
        text = _("The items were communicated on the rollback page.")
        row.completed_at, row.completed_by, row.note = (now(), account, text)
        row.save()
