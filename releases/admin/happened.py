"""Events of the ledger as people read them: who did what, when, why, and what became different. Pages call it."""

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
from releases.admin.shown import when, word
from releases.admin.verbs import VERBS
from releases.steps.words import told as in_words

# What no button does: acts of the workers, the scheduler and the way in.
OTHER_ACTS = {
    "api:call": gettext_lazy("Call the API"),
    "audit:break_glass": gettext_lazy("Change data directly under break-glass"),
    "audit:reconcile": gettext_lazy("Compare the history with the ledger"),
    "audit:deliver": gettext_lazy("Send a checkpoint to an address"),
    "audit:export_access": gettext_lazy("Take the access report along"),
    "audit:export_ledger": gettext_lazy("Take the whole ledger along"),
    "audit:export_pack": gettext_lazy("Take the evidence of a change along"),
    "audit:export_population": gettext_lazy("Take a population along"),
    "audit:export_sample": gettext_lazy("Take the evidence of a sample along"),
    "audit:export_statement": gettext_lazy("Take a signed count along"),
    "audit:export_test": gettext_lazy("Take the rows of a saved test along"),
    "audit:migrate": gettext_lazy("Lay or change the tables"),
    "audit:refuse_seal": gettext_lazy("The sealer refuses to sign"),
    "audit:renew_key": gettext_lazy("Exchange the sealer's key"),
    "audit:history_alarm": gettext_lazy("Alarm: the history holds what no event explains"),
    "audit:cover": gettext_lazy("Record the digests of output, samples and outbox entries"),
    "ledger:verify": gettext_lazy("Verify the ledger"),
    "account:add_passkey": gettext_lazy("Add a passkey"),
    "account:secure": gettext_lazy("Change passkeys or codes of one's account"),
    "account:change_password": gettext_lazy("Change one's password"),
    "account:reseal_factor": gettext_lazy("Seal a second factor with the present key"),
    "configuration:add_key": gettext_lazy("Add a key to the ring"),
    "configuration:use_key": gettext_lazy("Seal with another key from now on"),
    "channel:reseal": gettext_lazy("Seal a channel's address with the present key"),
    "configuration:reseal": gettext_lazy("Seal the secrets with the present key"),
    "configuration:retire_keys": gettext_lazy("Take old keys out of the ring"),
    "question:escalate": gettext_lazy("Ask the next on the roster"),
    "question:lapse": gettext_lazy("Nobody has answered: do what was agreed"),
    "session:sign_in": gettext_lazy("Sign in"),
    "deployment:queue": gettext_lazy("Queue the deployment"),
    "deployment:put_off": gettext_lazy("Wait: a gate is closed"),
    "deployment:put_back": gettext_lazy("Take the deployment out of the queue"),
    "deployment:miss": gettext_lazy("Miss the window"),
    "deployment:stopped": gettext_lazy("Stop after the step"),
    "deployment:succeed": gettext_lazy("End the deployment well"),
    "document:publish": gettext_lazy("Publish documents"),
    "document:fail_publication": gettext_lazy("Publishing documents failed"),
    "dump:delete": gettext_lazy("Delete an expired backup"),
    "dump:fail_deletion": gettext_lazy("Deleting an expired backup failed"),
    "account:enrol": gettext_lazy("Enrol through an invitation"),
    "notice:make": gettext_lazy("Make messages of what has happened"),
    "notice:remind": gettext_lazy("Remind again of what is not done"),
    "notice:escalate": gettext_lazy("Tell others that nobody has acted"),
    "notice:supersede": gettext_lazy("End a message that a newer one overtook"),
    "channel:mark_unavailable": gettext_lazy("A channel takes nothing: tell who sees to it"),
    "channel:mark_available": gettext_lazy("A channel takes something again"),
    "notice:settle": gettext_lazy("End the reminders: it is done"),
    "delivery:record": gettext_lazy("Keep what became of a message"),
    "milestone:remind": gettext_lazy("Remind of a milestone"),
    "procedure:revise": gettext_lazy("Change procedure draft"),
    "procedure:activate": gettext_lazy("Put the procedure in force"),
    "release:lapse": gettext_lazy("End the consent: what it was about has changed"),
    "release:sign": gettext_lazy("Sign what waits for me"),
    "release:tag_made": gettext_lazy("Make the tag"),
    "rollback:escalate": gettext_lazy("Tell the next on the roster of the rollback"),
    "rollback:pre_authorise": gettext_lazy("Go back as authorised beforehand"),
    "rollback:run": gettext_lazy("Begin the way back"),
    "step:claim": gettext_lazy("Take a step"),
    "step:hold_back": gettext_lazy("Hold a run before a step: the way back would no longer fit"),
    "rollback:take_over": gettext_lazy("Take a way back over by hand"),
    "rollback:agree": gettext_lazy("Agree to a late way back"),
    "step:ask": gettext_lazy("Ask a person to do a step"),
    "step:confirm": gettext_lazy("Confirm a step"),
    "step:pause": gettext_lazy("Let a step wait for its time"),
    "poll:suspend": gettext_lazy("Ask about what failed three times"),
    "step:wait_for_target": gettext_lazy("Wait until the target is free"),
    "step:doubt": gettext_lazy("Doubt a step: its worker is silent"),
    "step:fail": gettext_lazy("A step failed"),
    "step:stop": gettext_lazy("End a step"),
    "step:finish": gettext_lazy("Finish a step"),
    "job:refuse": gettext_lazy("Refuse a job that Ringi did not create"),
    "drift:find": gettext_lazy("A deployment target differs from what was deployed"),
    "drift:end": gettext_lazy("A deployment target is as deployed again"),
    "in_force:laid": gettext_lazy("A version was laid on a deployment target"),
    "target:try": gettext_lazy("Test the settings of a deployment target"),
    "target:try_watch": gettext_lazy("Look through sources that are not kept yet"),
    "watch:begin_before": gettext_lazy("Begin to measure a baseline"),
    "watch:end": gettext_lazy("End the watch"),
    "watch:unclear": gettext_lazy("Alarm: the watch cannot tell"),
    "watch:clear": gettext_lazy("The watch can tell again"),
    "window:lapse": gettext_lazy("End the application for a window"),
}
_LABELS = OTHER_ACTS | {verb.key: verb.label for verb in VERBS}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)")
_HIDDEN = frozenset({"id", "history"})
LONGEST = 600  # letters of a value beside another


class Difference(NamedTuple):
    """One key with what it was and what it became, as text for a cell; `name` is the key in the reader's words."""

    key: str
    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Happening:
    """One event. `object` is its label (`app.Model:pk`), `about` the same in words; `details` is what an act says of
    itself, `differences` what a row event changed, `fault` why it is not what was recorded.
    """

    number: int | None
    kind: str
    at: datetime
    actor: str
    actor_label: str
    channel: str
    what: str
    action: str
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


def act_name(action: str) -> str:
    """Return an action in words: its verb's label, or that of OTHER_ACTS."""
    return str(_LABELS.get(action, action))


def kind_name(model_label: str) -> str:
    """Return what rows of a model, or of a many-to-many table (`app.Model.field`), are called in the reader's words."""
    return _kind_name(model_label, get_language())


@lru_cache(maxsize=1024)
def _kind_name(model_label: str, _language: str | None) -> str:
    app, name, relation = [*model_label.split("."), "", ""][:3]
    try:
        options = apps.get_model(app, name)._meta
        words = str(options.verbose_name)
        return f"{words}: {options.get_field(relation).verbose_name}" if relation else words  # type: ignore[union-attr]
    except (LookupError, FieldDoesNotExist):
        return model_label


def object_name(label: str, names: Mapping[str, str] | None = None) -> str:
    """Return an object's label (`app.Model:pk`) in words: its kind, and its own name where `names` (by label) has one."""
    model, colon, pk = label.partition(":")
    if not colon:
        return kind_name(model) if model else ""
    return f"{kind_name(model)} {(names or {}).get(label, pk)}"


def shown_value(value: Any) -> str:
    """Return a value of an event as people read it: a time with its zone, yes or no, a document as JSON."""
    return _text(value)


def _text(value: Any) -> str:
    if value is None or value == "":
        return "—"
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, str):
        # A time that a row or an act wrote has its offset; a day alone, or a version, is no time.
        try:
            return when(datetime.fromisoformat(value)) if _MOMENT.fullmatch(value) else in_words(value)
        except (ValueError, OverflowError):
            return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _apart(key: str, left: Any, right: Any) -> list[tuple[str, Any, Any]]:
    """Return the places in which two values differ; documents are compared key by key."""
    if left == right:
        return []
    if isinstance(left, dict) and isinstance(right, dict):
        inner = [*right, *(name for name in left if name not in right)]
        return [
            found
            for name in inner
            for found in _apart(f"{key} › {name}" if key else name, left.get(name), right.get(name))
        ]
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return [
            found for n, pair in enumerate(zip(left, right, strict=True), 1) for found in _apart(f"{key} › {n}", *pair)
        ]
    return [(key, left, right)]


def differences(before: dict[str, Any] | None, after: dict[str, Any] | None, model: str = "") -> list[Difference]:
    """Return the places whose values differ, in the row's own order; model: `app.Model`, for the names of columns."""
    names = column_names(model) if model else {}
    found = []
    for key, left, right in _apart("", before or {}, after or {}):
        column, _arrow, rest = key.partition(" › ")
        if key not in _HIDDEN:
            name = names.get(column, column) + (f" › {rest}" if rest else "")
            found.append(Difference(key, name, _cut(_text(left)), _cut(_text(right))))
    return found


def _signature(signed: dict[str, Any]) -> dict[str, Any]:
    """Return a signature with the roles of the one who signed, and the time of the proof, as people read them."""
    if not signed:
        return {}
    roles = ", ".join(word(role) for role in str(signed.get("role", "")).split(", "))
    proved = parse_datetime(str(signed.get("authenticated_at", "")))
    return signed | {"role": roles, "authenticated_at": when(proved)}


def happening(event: Event, *, values: bool = True, names: Mapping[str, str] | None = None) -> Happening:
    """Read one event, with its link when it has one; values: whether the reader may see what a row held; names: of
    objects, by label.
    """
    link = getattr(event, "link", None)
    fault = event.fault if link is not None else ""
    contents = {} if fault else event.contents
    after = contents.get("after") or {}
    row = event.kind == Event.Kind.ROW
    told = {"signature", "reasons", "kind", *(["on_behalf"] if not after.get("on_behalf") else [])}
    details = {} if row else {k: v for k, v in after.items() if k not in told}
    return Happening(
        number=link.number if link is not None else None,
        kind=event.kind,
        at=event.at,
        actor=name_of(event.actor),
        actor_label=event.actor,
        channel=event.channel,
        what=act_name(event.action),
        action=event.action,
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
        details=[(key, _text(value)) for key, value in details.items()] if values else [],
        differences=differences(contents.get("before"), after, event.object.partition(":")[0])
        if row and values
        else [],
        fault=fault,
    )


def of_objects(labels: Iterable[str], limit: int = 60, hidden: Collection[str] = ()) -> list[Happening]:
    """Return the acts and refusals on objects (`app.Model:pk`), newest first, in one query.

    hidden: models of which the reader may not see the values.
    """
    events = (
        Event.objects.filter(object__in=list(labels), kind__in=["action", "refusal"], link__isnull=False)
        .select_related("link")
        .order_by("-link__number")[:limit]
    )
    return [happening(event, values=event.object.partition(":")[0] not in hidden) for event in events]
