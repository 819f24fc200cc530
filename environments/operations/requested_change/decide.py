"""requested_change:confirm and requested_change:reject: a change that needs two persons waits, as requested, for the
second.

Operations that change what production runs, or who a person is, write through `put`.
"""

from collections.abc import Callable
from typing import Any

from django.db.models import Model
from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import Operation, operation
from audit.refusals import GateNotPassed, NotPermitted, NotPossible
from environments import access
from environments.models import Account, DeploymentTarget, RequestedChange

# Operation → the right that both persons need, and what is asked of the row with its new values: it raises an
# OperationRefused, and writes what follows from them.
Check = Callable[[Any, tuple[Account, ...]], object]
OPERATIONS: dict[str, tuple[str, Check]] = {}


def apply_or_request(op: Operation, row: Any, after: dict[str, Any], *, by: Account, two: bool, reason: str) -> Model:
    """Write values to a row behind the open operation, or keep them for a second person; return the row or the request.

    row: behind the operation, or not saved yet. after: column → value as JSON. two: whether it takes a second person.
    """
    new, kept = row.pk is None, {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
    before = {} if new else {name: kept[name] for name in after}
    _write(row, after)
    OPERATIONS[op.event][1](row, (by,))
    if not two:
        if new:
            row.save()
            op.about(row)
        return row  # type: ignore[no-any-return]
    _write(row, kept)
    requested = RequestedChange.objects.create(
        event=op.event,
        target=row if isinstance(row, DeploymentTarget) and not new else None,
        account=row if isinstance(row, Account) else None,
        environment=getattr(row, "environment", None),
        application=getattr(row, "application", None),
        before=before,
        after=after,
        reason=reason,
        requested_by=by,
    )
    if new:
        op.about(requested)
    else:
        op.details["requested_change"] = requested.pk
        op.created.append(requested)
    return requested


def confirm_change(requested_change_id: int, *, reason: str = "") -> Model:
    """Confirm a requested change as the second person, and write it as requested. Return the changed row.

    Raises NotPermitted, NotPossible, GateNotPassed for a row that has changed since, and what the operation itself
    refuses.
    """
    asked = RequestedChange.objects.get(pk=requested_change_id)
    rows: list[tuple[type[Model], int]] = [(RequestedChange, requested_change_id)]
    rows += [
        (kind, pk) for kind, pk in ((DeploymentTarget, asked.target_id), (Account, asked.account_id)) if pk is not None
    ]
    with operation("requested_change:confirm", *rows, reason=reason, sign=True) as op:
        requested = op.get(RequestedChange)
        right, check = OPERATIONS[requested.event]
        second = access.require(right)
        _require_open(requested)
        if why := why_not_permitted(second, requested):
            raise NotPermitted(why)
        access.require_still(
            requested.requested_by if requested.requested_by_id != requested.account_id else None, right
        )
        row: Any = (
            DeploymentTarget(environment=requested.environment, application=requested.application)
            if len(rows) == 1
            else op.get(DeploymentTarget if requested.target_id is not None else Account)
        )
        if any(getattr(row, name) != value for name, value in requested.before.items()):
            text = _("The data changed after this change was requested. Reject this request and submit a new one.")
            raise GateNotPassed(text)
        _write(row, requested.after)
        check(row, (requested.requested_by, second))
        if row.pk is None:
            row.save()
            requested.target = row
        requested.confirmed, requested.decided_by, requested.decided_at = True, second, now()
        op.details.update(event=requested.event, row=f"{row._meta.label}:{row.pk}")
    return row  # type: ignore[no-any-return]


def reject_change(requested_change_id: int, *, reason: str) -> RequestedChange:
    """Reject a requested change, or withdraw one's own: nothing is written. Raises NotPermitted, InvalidInput,
    NotPossible.
    """
    with operation("requested_change:reject", (RequestedChange, requested_change_id), reason=reason) as op:
        requested, who = op.get(RequestedChange), access.current_account()
        if who.pk != requested.requested_by_id:
            access.require(OPERATIONS[requested.event][0])
        _require_open(requested)
        op.require_reason()
        requested.decided_by, requested.decided_at = who, now()
    return requested


def why_not_permitted(account: Account, requested: RequestedChange) -> str:
    """Return why a person may not confirm a change; empty where they may."""
    parties = [requested.requested_by, *([requested.account] if requested.account is not None else [])]
    if any(account.is_among(party.identities) for party in parties):
        return _("Another person must confirm this change: neither the requester nor the person concerned.")
    return ""


def _require_open(requested: RequestedChange) -> None:
    if requested.decided_at is not None:
        raise NotPossible(_("This change has already been confirmed or rejected."))


def _write(row: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(row, name, value)
