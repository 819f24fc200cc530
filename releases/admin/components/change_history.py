"""Events of the ledger in readable form: who did what, when, why, and what changed. Pages call it."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.utils.dateparse import parse_datetime
from django.utils.translation import get_language, gettext as _, gettext_lazy

from audit.actor import name_of
from audit.as_of import column_names
from audit.models import Event
from environments.language import labelled, listed
from environments.targets.words import in_words
from releases.admin.components.formatting import when, word
from releases.admin.operations import VERBS

# Operations without a button: those of the workers, the scheduler and the sign-in.
OTHER_OPERATIONS = {
    "api:call": gettext_lazy("Call the API"),
    "audit:break_glass": gettext_lazy("Change data directly under break-glass"),
    "audit:reconcile": gettext_lazy("Reconcile history with ledger"),
    "audit:deliver": gettext_lazy("Send checkpoint"),
    "audit:export_access": gettext_lazy("Export access report"),
    "audit:export_ledger": gettext_lazy("Export whole ledger"),
    "audit:export_pack": gettext_lazy("Export change evidence"),
    "audit:export_population": gettext_lazy("Export population"),
    "audit:export_sample": gettext_lazy("Export sample evidence"),
    "audit:export_statement": gettext_lazy("Export signed count"),
    "audit:export_test": gettext_lazy("Export saved test results"),
    "approval:approve_beforehand": gettext_lazy("Approve standard change"),
    "audit:migrate": gettext_lazy("Change database schema"),
    "audit:refuse_signing": gettext_lazy("Refuse ledger signing"),
    "audit:renew_key": gettext_lazy("Replace ledger signing key"),
    "audit:history_alarm": gettext_lazy("Alarm: a change in the history has no event"),
    "audit:cover": gettext_lazy("Record digests of output, measurements and outbox entries"),
    "ledger:verify": gettext_lazy("Verify the ledger"),
    "account:add_passkey": gettext_lazy("Add a passkey"),
    "account:secure": gettext_lazy("Change passkeys or codes"),
    "account:change_password": gettext_lazy("Change own password"),
    "account:reencrypt_two_factor": gettext_lazy("Re-encrypt two-factor secret"),
    "configuration:add_key": gettext_lazy("Add key to keyring"),
    "configuration:use_key": gettext_lazy("Switch encryption key"),
    "notification_channel:reencrypt": gettext_lazy("Re-encrypt channel address"),
    "configuration:reencrypt": gettext_lazy("Re-encrypt configuration secrets"),
    "configuration:retire_keys": gettext_lazy("Remove old encryption keys"),
    "decision_request:escalate": gettext_lazy("Escalate decision request"),
    "decision_request:expire": gettext_lazy("No response: carry out agreed action"),
    "session:sign_in": gettext_lazy("Sign in"),
    "deployment:enqueue": gettext_lazy("Enqueue deployment"),
    "deployment:delay": gettext_lazy("Delay deployment: gate not passed"),
    "deployment:return_to_scheduled": gettext_lazy("Return deployment to scheduled"),
    "deployment:mark_missed": gettext_lazy("Window missed"),
    "deployment:mark_stopped": gettext_lazy("Deployment stopped"),
    "deployment:succeed": gettext_lazy("Deployment succeeded"),
    "document:publish": gettext_lazy("Publish documents"),
    "document:fail_publication": gettext_lazy("Publishing documents failed"),
    "dump:delete": gettext_lazy("Delete an expired backup"),
    "dump:fail_deletion": gettext_lazy("Deleting an expired backup failed"),
    "account:enrol": gettext_lazy("Enrol through an invitation"),
    "notification:create": gettext_lazy("Create notifications"),
    "notification:remind": gettext_lazy("Send reminder"),
    "notification:escalate": gettext_lazy("Escalate notification"),
    "notification:supersede": gettext_lazy("Supersede notification"),
    "notification_channel:mark_unavailable": gettext_lazy("Mark channel unavailable"),
    "notification_channel:mark_available": gettext_lazy("Mark channel available"),
    "notification:complete": gettext_lazy("End reminders: action completed"),
    "notification_delivery:record": gettext_lazy("Record delivery outcome"),
    "milestone:remind": gettext_lazy("Send milestone reminder"),
    "procedure:revise": gettext_lazy("Change procedure draft"),
    "procedure:put_into_effect": gettext_lazy("Put procedure into effect"),
    "release:end_approval": gettext_lazy("Approval ended (invalidated or expired)"),
    "release:pass_stage": gettext_lazy("Pass a stage for which nothing is asked"),
    "release:sign_pending_items": gettext_lazy("Sign my pending items"),
    "release:record_tag": gettext_lazy("Create tag"),
    "rollback:escalate": gettext_lazy("Escalate rollback"),
    "rollback:apply_pre_authorisation": gettext_lazy("Apply pre-authorisation"),
    "rollback:start": gettext_lazy("Start rollback"),
    "step:claim": gettext_lazy("Claim step for worker"),
    "step:hold": gettext_lazy("Put step on hold: rollback would not fit"),
    "rollback:complete_manually": gettext_lazy("Complete rollback manually"),
    "rollback:confirm_late": gettext_lazy("Approve late rollback"),
    "step:request_manual": gettext_lazy("Request manual step"),
    "step:confirm_manual": gettext_lazy("Confirm manual step"),
    "step:wait": gettext_lazy("Wait for scheduled time"),
    "poll:suspend": gettext_lazy("Request decision after three failures"),
    "step:wait_for_target": gettext_lazy("Wait for free target"),
    "step:mark_unknown": gettext_lazy("Mark outcome unknown: worker unresponsive"),
    "step:fail": gettext_lazy("Step failed"),
    "step:stop": gettext_lazy("Stop step"),
    "step:succeed": gettext_lazy("Step succeeded"),
    "job:refuse": gettext_lazy("Refuse a job that Ringi did not create"),
    "drift:detect": gettext_lazy("A deployment target differs from what was deployed"),
    "drift:end": gettext_lazy("A deployment target matches the deployment again"),
    "deployed_version:placed": gettext_lazy("A version was placed on a deployment target"),
    "target:test": gettext_lazy("Test target options"),
    "target:test_monitoring": gettext_lazy("Test unsaved metric sources"),
    "monitoring:start_baseline": gettext_lazy("Start baseline measurement"),
    "monitoring:end": gettext_lazy("End monitoring"),
    "monitoring:report_no_data": gettext_lazy("Alarm: monitoring inconclusive"),
    "monitoring:report_data_again": gettext_lazy("Monitoring conclusive again"),
    "window:expire": gettext_lazy("Expire change window request"),
}
_LABELS = OTHER_OPERATIONS | {verb.key: verb.label for verb in VERBS}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)")
_HIDDEN = frozenset({"id", "history"})
LONGEST = 600  # characters of a value beside another


class Difference(NamedTuple):
    """One changed key with its value before and after, as text for a cell; `name`: the key in the reader's language."""

    key: str
    name: str
    before: str
    after: str


@dataclass(frozen=True)
class HistoryEntry:
    """One event. `object` is its label (`app.Model:pk`), `about` the same in words; `details` is what an operation
    recorded about itself, `differences` what a row event changed, `fault` why it is not what was recorded.
    """

    number: int | None
    kind: str
    at: datetime
    actor: str
    actor_label: str
    channel: str
    what: str
    operation: str
    object: str
    about: str
    outcome: str
    reason: str
    leaf: str
    address: str
    on_behalf: str
    session_user: str
    signature: dict[str, Any]
    reasons: list[str]
    details: list[tuple[str, str]]
    differences: list[Difference]
    fault: str


def operation_name(operation: str) -> str:
    """Return the label of an operation: its verb's label, or that of OTHER_OPERATIONS."""
    return str(_LABELS.get(operation, operation))


def kind_name(model_label: str) -> str:
    """Return the name of the rows of a model, or of a many-to-many table (`app.Model.field`), for the reader."""
    return _kind_name(model_label, get_language())


@lru_cache(maxsize=1024)
def _kind_name(model_label: str, _language: str | None) -> str:
    app, name, relation = [*model_label.split("."), "", ""][:3]
    try:
        options = apps.get_model(app, name)._meta
        words = str(options.verbose_name)
        return labelled(words, options.get_field(relation).verbose_name) if relation else words  # type: ignore[union-attr]
    except (LookupError, FieldDoesNotExist):
        return model_label


def object_name(label: str, names: Mapping[str, str] | None = None) -> str:
    """Return an object's label (`app.Model:pk`) in words: its type, and its name where `names` (by label) has one."""
    model, colon, pk = label.partition(":")
    if not colon:
        return kind_name(model) if model else ""
    return f"{kind_name(model)} {(names or {}).get(label, pk)}"


def shown_value(value: Any) -> str:
    """Return a value of an event as text: a time with its zone, yes or no, a document as JSON."""
    if value is None or value == "":
        return "—"
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, str):
        # A time that a row or an operation wrote has its offset; a bare day or a version is no time.
        try:
            return when(datetime.fromisoformat(value)) if _MOMENT.fullmatch(value) else in_words(value)
        except (ValueError, OverflowError):
            return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _changed_places(key: str, left: Any, right: Any) -> list[tuple[str, Any, Any]]:
    """Return the places in which two values differ; documents are compared key by key."""
    if left == right:
        return []
    if isinstance(left, dict) and isinstance(right, dict):
        inner = [*right, *(name for name in left if name not in right)]
        return [
            found
            for name in inner
            for found in _changed_places(f"{key} › {name}" if key else name, left.get(name), right.get(name))
        ]
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return [
            found
            for n, pair in enumerate(zip(left, right, strict=True), 1)
            for found in _changed_places(f"{key} › {n}", *pair)
        ]
    return [(key, left, right)]


def differences(before: dict[str, Any] | None, after: dict[str, Any] | None, model: str = "") -> list[Difference]:
    """Return the places whose values differ, in the row's own order; model: `app.Model`, for the names of columns."""
    names = column_names(model) if model else {}
    found = []
    for key, left, right in _changed_places("", before or {}, after or {}):
        column, _arrow, rest = key.partition(" › ")
        if key not in _HIDDEN:
            name = names.get(column, column) + (f" › {rest}" if rest else "")
            found.append(Difference(key, name, _cut(shown_value(left)), _cut(shown_value(right))))
    return found


def _signature(signed: dict[str, Any]) -> dict[str, Any]:
    """Return a signature with the signer's roles and the time of the proof of identity, in readable form."""
    if not signed:
        return {}
    roles = listed(word(role) for role in str(signed.get("role", "")).split(", "))
    proved = parse_datetime(str(signed.get("authenticated_at", "")))
    return signed | {"role": roles, "authenticated_at": when(proved)}


def history_entry(event: Event, *, values: bool = True, names: Mapping[str, str] | None = None) -> HistoryEntry:
    """Read one event and its ledger entry, if any. values: whether the reader may see them; names: by label."""
    link = getattr(event, "ledger_entry", None)
    fault = event.fault if link is not None else ""
    contents = {} if fault else event.contents
    after = contents.get("after") or {}
    row = event.kind == Event.Kind.ROW
    separate = {"signature", "reasons", "kind", *(["on_behalf"] if not after.get("on_behalf") else [])}
    details = {} if row else {k: v for k, v in after.items() if k not in separate}
    return HistoryEntry(
        number=link.number if link is not None else None,
        kind=event.kind,
        at=event.at,
        actor=name_of(event.actor),
        actor_label=event.actor,
        channel=event.channel,
        what=operation_name(event.operation),
        operation=event.operation,
        object=event.object,
        about=object_name(event.object, names),
        outcome=event.outcome,
        reason=in_words(event.reason) if values else "",
        leaf=bytes(link.leaf).hex() if link is not None else "",
        address=contents.get("request", {}).get("address", ""),
        on_behalf=contents.get("on_behalf", ""),
        session_user=contents.get("session_user", ""),
        signature=_signature({} if row else after.get("signature") or {}),
        reasons=[] if row else [in_words(reason) for reason in after.get("reasons", [])],
        details=[(key, shown_value(value)) for key, value in details.items()] if values else [],
        differences=differences(contents.get("before"), after, event.object.partition(":")[0])
        if row and values
        else [],
        fault=fault,
    )


def of_objects(labels: Iterable[str], limit: int = 60, hidden: Collection[str] = ()) -> list[HistoryEntry]:
    """Return the operations and refusals on objects (`app.Model:pk`), newest first, in one query. hidden: models whose
    values the reader may not see.
    """
    events = (
        Event.objects.filter(object__in=list(labels), kind__in=["operation", "refusal"], ledger_entry__isnull=False)
        .select_related("ledger_entry")
        .order_by("-ledger_entry__number")[:limit]
    )
    return [history_entry(event, values=event.object.partition(":")[0] not in hidden) for event in events]
