"""Events of the ledger in readable form: who did what, when, why, and what changed. Pages call it."""

import json
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model, Q
from django.utils.dateparse import parse_datetime
from django.utils.translation import get_language, gettext as _

from audit import personal
from audit.actor import name_of
from audit.as_of import column_names
from audit.models import Event
from audit.operation import label
from environments.language import bilingual, labelled, listed
from environments.targets.words import in_words
from releases.admin.components.formatting import day, when, word
from releases.admin.operations import VERBS
from releases.models import Step

_FILE = Path(__file__).with_name("other_operations.toml")
# Operations without a button: those of the workers, the scheduler and the sign-in.
OTHER_OPERATIONS = {
    f"{noun}:{verb}": bilingual(**words)
    for noun, verbs in tomllib.loads(_FILE.read_text(encoding="utf-8")).items()
    for verb, words in verbs.items()
}
_LABELS = OTHER_OPERATIONS | {verb.key: verb.label for verb in VERBS}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)")
_HIDDEN = frozenset({"id", "history"})
LONGEST = 600  # characters of a value beside another
# What the workers write for each step that runs as planned; successive ones are one line of a history.
_AS_PLANNED = ("step:claim", "step:succeed", "step:wait", "step:wait_for_target")
_MOST_STEP_EVENTS = 100


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
    pending: bool
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

    @property
    def classes(self) -> str:
        """Return the words by which a history is filtered: whether a person did it, and whether it was refused."""
        by_person = self.actor_label.startswith("person:")
        return f"{'by-person ' * by_person}{'was-refused' * (self.outcome == 'refused')}"


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
    if personal.committed(value):
        return _("personal data, not in the ledger")
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


def _differences(about: str, before: dict[str, Any] | None, after: dict[str, Any] | None) -> list[Difference]:
    """Return the differences of a row event; personal values as they still stand beside the ledger."""
    hidden = any(map(personal.committed, [*(before or {}).values(), *(after or {}).values()]))
    known = personal.standing([about]) if hidden else {}
    left, right = (personal.revealed(about, part, known) for part in (before, after))
    return differences(left, right, about.partition(":")[0])


def _signature(signed: dict[str, Any]) -> dict[str, Any]:
    """Return a signature with the signer's roles and the time of the proof of identity, in readable form."""
    if not signed:
        return {}
    roles = listed(word(role) for role in str(signed.get("role", "")).split(", "))
    proved = parse_datetime(str(signed.get("authenticated_at", "")))
    return signed | {"role": roles, "authenticated_at": when(proved)}


def history_entry(event: Event, *, values: bool = True, names: Mapping[str, str] | None = None) -> HistoryEntry:
    """Read one event and its ledger entry, if any. values: whether the reader may see them; names: by label."""
    link, fault = getattr(event, "ledger_entry", None), event.fault
    contents = {} if fault else event.contents
    after = contents.get("after") or {}
    row = event.kind == Event.Kind.ROW
    separate = {"signature", "reasons", "kind", *(["on_behalf"] if not after.get("on_behalf") else [])}
    details = {} if row else {k: v for k, v in after.items() if k not in separate}
    return HistoryEntry(
        number=link.number if link is not None else None,
        pending=event.is_pending,
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
        differences=_differences(event.object, contents.get("before"), after) if row and values else [],
        fault=fault,
    )


@dataclass(frozen=True)
class StepsLine:
    """Successive events of steps that ran as planned, newest first; `succeeded` and `begun` name the steps, oldest
    first.
    """

    entries: list[HistoryEntry]
    succeeded: list[str]
    begun: list[str]

    def add(self, entry: HistoryEntry, name: str) -> None:
        """Add the event before the others."""
        self.entries.append(entry)
        if entry.operation == "step:succeed":
            self.succeeded.insert(0, name)
        elif name not in self.succeeded and name not in self.begun:
            self.begun.insert(0, name)

    @property
    def first(self) -> datetime:
        """Return when the first of them began."""
        return self.entries[-1].at

    @property
    def last(self) -> datetime:
        """Return when the last of them ended."""
        return self.entries[0].at


class HistoryLine(NamedTuple):
    """Either one event, or steps."""

    entry: HistoryEntry | None = None
    steps: StepsLine | None = None


class HistoryDay(NamedTuple):
    """The lines of one day."""

    day: str
    lines: list[HistoryLine]


@dataclass(frozen=True)
class History:
    """What happened to some rows, newest first. own: the label of the page's own row, which no line repeats; cut:
    whether there is more.
    """

    own: str
    days: list[HistoryDay]
    cut: bool


def history_of(rows: Iterable[Model], limit: int = 60, *, hidden: Collection[str] = (), zone: str = "") -> History:
    """Return the operations and refusals on rows, of which the first is the page's own. hidden: models whose values the
    reader may not see; zone: that of the days.
    """
    names = {label(row): row for row in rows}
    own = next(iter(names))
    events = (
        Event.objects.filter(object__in=list(names), kind__in=["operation", "refusal"])
        .select_related("ledger_entry", "pending")
        .order_by("-ledger_entry__number", "-pending__position")
    )
    planned = Q(operation__in=_AS_PLANNED, kind="operation")
    found = list(events.exclude(planned)[: limit + 1])
    cut = len(found) > limit
    if any(isinstance(row, Step) for row in names.values()):
        oldest = found[limit - 1].at if cut else None
        of_steps = (events.filter(at__gte=oldest) if oldest else events).filter(planned)[:_MOST_STEP_EVENTS]
        found = sorted([*found[:limit], *of_steps], key=_place, reverse=True)
    else:
        found = found[:limit]
    named = {one: str(names[one]) for one in {event.object for event in found}}
    entries = [history_entry(e, values=e.object.partition(":")[0] not in hidden, names=named) for e in found]
    days: dict[str, list[HistoryLine]] = {}
    for entry in entries:
        lines = days.setdefault(day(entry.at, zone), [])
        if entry.operation not in _AS_PLANNED or entry.kind != "operation":
            lines.append(HistoryLine(entry))
            continue
        steps = lines[-1].steps if lines else None
        if steps is None:
            steps = StepsLine([], [], [])
            lines.append(HistoryLine(steps=steps))
        steps.add(entry, named[entry.object])
    return History(own, [HistoryDay(text, lines) for text, lines in days.items()], cut)


def _place(event: Event) -> tuple[bool, int]:
    """Return the place of an event in the chain; those that wait for one come after all others."""
    link = getattr(event, "ledger_entry", None)
    return (False, link.number) if link is not None else (True, event.pending.position if event.is_pending else 0)
