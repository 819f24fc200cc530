"""Refusals of operations: not permitted, not possible now, signature required and so on, each with a sentence."""

import re
from typing import Any

from django.apps import apps
from django.db import DataError, IntegrityError
from django.utils.translation import gettext as _
from django_fsm import TransitionNotAllowed

_LENGTH = re.compile(r"\((\d+)\)")


class OperationRefused(Exception):
    """An operation that was not done; the database is as before but for the event that says so."""

    kind = "operation_refused"
    # Whether the ledger has it already: the operation writes its own refusals.
    written = False

    def __init__(self, *reasons: str) -> None:
        self.reasons = tuple(reasons)
        super().__init__(" ".join(reasons))


class NotPermitted(OperationRefused):
    """The actor lacks the permission, or separation of duties excludes them."""

    kind = "not_permitted"


class NotPossible(OperationRefused):
    """The object is not in a state in which this operation begins."""

    kind = "not_possible"


class GateNotPassed(OperationRefused):
    """A gate is not passed; the reasons name each one."""

    kind = "gate_not_passed"


class SignatureRequired(OperationRefused):
    """The operation is a signature, and its proof of identity is missing. contents: what is to be signed, each an
    operation, a space, and a digest or a row.
    """

    kind = "signature_required"
    contents: tuple[str, ...] = ()


class InvalidInput(OperationRefused):
    """A given value is invalid; the reasons name it and say why."""

    kind = "invalid_input"


class AlreadyExists(InvalidInput):
    """Another row has these values already. constraint: name of the unique constraint that says so."""

    def __init__(self, *reasons: str, constraint: str = "") -> None:
        super().__init__(*reasons)
        self.constraint = constraint


def wrong_state(refusal: TransitionNotAllowed) -> str:
    """Return the sentence for an edge that begins in another state."""
    row = getattr(refusal, "object", None)
    state = row.get_state_display() if row is not None and hasattr(row, "get_state_display") else "?"
    return _("This operation is not possible in the state “%(state)s”.") % {"state": state}


def refused_by_the_database(fault: DataError | IntegrityError) -> OperationRefused | None:
    """Return the refusal that a limit of a column or a unique or exclusion constraint is; None for any other fault."""
    return _too_much(fault) if isinstance(fault, DataError) else _taken(fault)


def _too_much(fault: DataError) -> InvalidInput | None:
    """Return the refusal that a limit of a column is; None for any other fault."""
    # By the state and not by the words, which the server may say in another language.
    state = getattr(fault.__cause__, "sqlstate", "")
    if state == "22001" and (found := _LENGTH.search(str(fault))):
        return InvalidInput(_("A text is longer than %(most)s characters.") % {"most": found[1]})
    few = {"22003": _("A number is too large."), "22030": _("A JSON value has a key twice or is nested too deeply.")}
    return InvalidInput(few[state]) if state in few else None


def _taken(fault: IntegrityError) -> AlreadyExists | None:
    """Return the refusal that a unique or an exclusion constraint is; None for every other fault."""
    cause: Any = fault.__cause__
    if getattr(cause, "sqlstate", "") not in ("23505", "23P01"):
        return None
    table, constraint = cause.diag.table_name, str(cause.diag.constraint_name)
    key = (cause.diag.message_detail or "").partition(")=(")[0]
    model = next((known for known in apps.get_models() if known._meta.db_table == table), None)
    if model is None:
        return AlreadyExists(_("Another entry has these values already."), constraint=constraint)
    fields = model._meta.concrete_fields
    same = [str(field.verbose_name) for field in fields if re.search(rf"\b{field.column}\b", key)]
    words = {"what": model._meta.verbose_name, "fields": ", ".join(same)}
    return AlreadyExists(
        _("There is already another %(what)s with the same %(fields)s.") % words, constraint=constraint
    )
