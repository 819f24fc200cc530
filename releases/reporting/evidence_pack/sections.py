"""One change as tables for people, in the active language; the pages of the pack show them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Field, ForeignKey, Model
from django.utils.translation import get_language, gettext as _, pgettext

from audit import as_of
from audit.actor import name_of
from audit.cover import warning
from audit.models import Event
from environments import calendar
from environments.language import labelled, listed
from environments.models.role import role_names
from environments.targets.words import in_words
from environments.times import ZONE
from releases.reporting.evidence_pack.collected import Collected, DeploymentRows, columns, file_name, series_name
from releases.reporting.evidence_pack.ledger_part import LedgerPart


@dataclass
class Table:
    """Rows under a head; `pairs` instead for one row shown as name and value."""

    title: str
    head: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    pairs: list[tuple[str, str]] = field(default_factory=list)
    deep: bool = False


def moment(at: datetime | None) -> str:
    """Return a time in the office's zone and in UTC."""
    if at is None:
        return "—"
    return f"{calendar.print_time(at, ZONE, get_language() or 'ja')} ({at:%Y-%m-%d %H:%M:%S} UTC)"


def shown(value: Any, column: Field[Any, Any] | None = None) -> str:
    """Return a value in readable form."""
    if column is not None and column.choices and not isinstance(column, ForeignKey):
        return str(dict(column.flatchoices).get(value, value))
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if value in (None, "", [], {}):
        return "—"
    if isinstance(value, dict):
        return "; ".join(f"{key}: {shown(one)}" for key, one in value.items())
    if isinstance(value, list):
        return listed(shown(one) for one in value)
    return in_words(value)


def _pairs(row: Model, leave: Iterable[str] = ()) -> list[tuple[str, str]]:
    out = frozenset(leave) | {"id"}
    return [(str(c.verbose_name), shown(value, c)) for c, value in columns(row) if c.name not in out]


def _table(title: str, rows: list[Any], leave: Iterable[str] = ()) -> Table:
    return _laid(title, [_pairs(row, leave) for row in rows])


def _laid(title: str, made: list[list[tuple[str, str]]]) -> Table:
    """Return rows of (column, value) as a table; all have the same columns."""
    if not made:
        return Table(title)
    return Table(title, [name for name, _value in made[0]], [[value for _name, value in one] for one in made])


def _part_words() -> dict[str, str]:
    return {
        "author": _("author"),
        "editor": _("editor"),
        "approval_requester": _("requester"),
        "approve": _("Approved"),
        "approve_with_condition": _("Approved with a condition"),
        "send_back": _("Sent back"),
        "reject": _("Rejected"),
        "delegator": _("on behalf of"),
        "final_check_signer": _("final check"),
        "deployment_requester": _("requested by"),
        "deployment_scheduler": _("scheduled by"),
        "deployment_verifier": _("verified by"),
        "rollback_authoriser": _("authorised by"),
        "decision_responder": _("answered by"),
        "waiver_requester": labelled(_("waiver"), _("requested by")),
        "waiver_decider": labelled(_("waiver"), _("decided by")),
    }


def tables(change: Collected, part: LedgerPart, operation_name: Callable[[str], str]) -> list[Table]:
    """Return the tables in the order of a change's life; operation_name: an operation's key in words."""
    release = change.release
    made = [
        Table(_("release"), pairs=_pairs(release, ("plan", "configurations"))),
        _removed(change, operation_name),
        _parts(change),
        _table(_("changes"), change.rows["change_entries"], ("release",)),
        _table(_("milestones"), change.rows["milestones"], ("release", "reminded", "label_ja", "label_en")),
        _table(_("checklist"), change.rows["checklist"], ("release", *_other_language())),
        _table(_("release team"), change.rows["release_team"], ("release",)),
        _evidence(change),
        _table(_("documents"), change.rows["documents"], ("release", "rollback", *_other_language())),
        _table(_("document signatures"), change.rows["document_signatures"], _other_language()),
        *_approval_requests(change),
        _table(_("final checks"), change.rows["final_checks"], ("release",)),
        _table(_("waivers"), change.rows["waivers"], ("release",)),
        _meetings(change),
        _table(_("meeting decisions"), change.rows["meeting_decisions"], ("release",)),
        *(table for deployment in change.deployments for table in _deployment(deployment)),
        _table(_("follow-up actions"), change.rows["follow_ups"], ("application", "release", *_other_language())),
        _history(part, operation_name),
    ]
    return [table for table in made if table.rows or table.pairs]


def _other_language() -> tuple[str, ...]:
    return ("label_en",) if get_language() == "ja" else ("label_ja",)


def _parts(change: Collected) -> Table:
    words, roles = _part_words(), role_names()
    rows = [
        [
            words.get(p["part"], p["part"]),
            p["name"],
            " ".join(filter(None, (p["affiliation"], p["job_title"]))) or "—",
            p["employee_id"] or "—",
            moment(datetime.fromisoformat(p["at"])) if p["at"] else "—",
            listed(str(roles.get(role, role)) for role in p["roles"]) if p["roles"] else "—",
        ]
        for p in change.people
    ]
    head = [_("duty"), _("person"), _("affiliation"), _("employee ID"), _("time"), _("roles at the time")]
    return Table(_("People and their duties"), head, rows)


def _removed(change: Collected, operation_name: Callable[[str], str]) -> Table:
    outcomes = {"deleted": _("deleted"), "moved": _("moved elsewhere"), "unexplained": _("gone without an event")}
    rows = []
    for one in change.removed:
        names = as_of.column_names(one["object"].partition(":")[0])
        was = "; ".join(f"{names.get(column, column)}: {shown(value)}" for column, value in one["last_values"].items())
        at = moment(datetime.fromisoformat(one["at"]) if one["at"] else None)
        by = [name_of(one["actor"]), operation_name(one["operation"])] if one["event"] else ["—", "—"]
        rows.append([shown(one["event"]), at, *by, outcomes[one["outcome"]], one["object"], was, shown(one["reason"])])
    head = [
        _("number"),
        _("time"),
        _("actor"),
        _("operation"),
        _("outcome"),
        _("object"),
        _("last content"),
        _("reason"),
    ]
    return Table(_("Records that were removed"), head, rows)


def _evidence(change: Collected) -> Table:
    rows = [
        [file_name(e), str(e.environment), e.summary, e.commit, e.digest, str(e.uploaded_by), moment(e.at)]
        for e in change.evidence
    ]
    head = [_("file"), _("environment"), _("summary"), _("commit"), _("digest"), _("uploaded by"), _("uploaded at")]
    return Table(_("evidence"), head, rows)


def _meetings(change: Collected) -> Table:
    made = [
        [*_pairs(meeting), (_("attendees"), listed(str(who) for who in there))] for meeting, there in change.meetings
    ]
    return _laid(_("committee meetings"), made)


def _approval_requests(change: Collected) -> list[Table]:
    made = []
    for approval_request in change.approval_requests:
        title = f"{approval_request._meta.verbose_name} {approval_request.pk}"
        made.append(
            Table(title, pairs=_pairs(approval_request, ("document", "release", "window", "procedure", "process")))
        )
        words = _table(labelled(title, _("approval decisions")), list(approval_request.decisions.all()), ("round",))
        words.deep = True
        made.append(words)
    return made


def _deployment(collected: DeploymentRows) -> list[Table]:
    deployment, language = collected.deployment, get_language() or "ja"
    title = f"{deployment._meta.verbose_name} {deployment.pk}: {deployment.environment}"
    results = {"passed": pgettext("of a gate", "passed"), "waived": _("waived"), "not_checked": _("not applicable")}
    gates = [
        [g["ja"] if language == "ja" else g["en"], results[g["result"]], shown(g["event"]), shown(g["waiver"])]
        for g in collected.gates
    ]
    steps = [
        [
            str(step.ordinal),
            str(step),
            str(step.get_phase_display()),
            str(step.get_state_display()),
            moment(step.started_at),
            moment(step.ended_at),
            shown(step.result),
            " / ".join(
                f"{a.fencing_token}: {a.worker}, {a.outcome or '—'}, {a.output_digest or '—'}"
                for a in step.attempts.all()
            ),
        ]
        for step in collected.steps
    ]
    head = [_("ordinal"), _("step"), _("phase"), _("state"), _("started"), _("ended"), _("result"), _("attempts")]
    made = [
        Table(title, pairs=_pairs(deployment, ("release", "application", "base", "baseline"))),
        Table(labelled(title, _("gates")), [_("gate"), _("result"), _("number"), _("waiver")], gates, deep=True),
        Table(labelled(title, _("steps")), head, steps, deep=True),
    ]
    for monitoring in collected.monitoring_periods:
        pairs = [*_pairs(monitoring, ("deployment", "baseline", "triggers")), (_("file"), series_name(monitoring))]
        if said := warning(monitoring.measurements.all(), monitoring.check_results.all()):
            pairs.append((_("altered"), said))
        made.append(Table(labelled(title, monitoring._meta.verbose_name), pairs=pairs, deep=True))
    for rollback in collected.rollbacks:
        name = labelled(title, rollback._meta.verbose_name)
        texts = list(rollback.documents.all())
        documents = _table(labelled(name, _("documents")), texts, ("release", "rollback", *_other_language()))
        signed = [signature for text in texts for signature in text.signatures.all()]
        signatures = _table(labelled(name, _("document signatures")), signed, _other_language())
        documents.deep = signatures.deep = True
        made += [Table(name, pairs=_pairs(rollback, ("deployment",)), deep=True), documents, signatures]
    return made


def _history(part: LedgerPart, operation_name: Callable[[str], str]) -> Table:
    """Return operations and refusals; the ledger's own file contains the changes of each, row by row."""
    events = Event.objects.filter(
        ledger_entry__number__in=part.numbers, kind__in=["operation", "refusal", "access"]
    ).select_related("ledger_entry")
    rows = []
    for event in events.order_by("ledger_entry__number"):
        contents = {} if (fault := event.fault) else event.contents
        reasons = " ".join(map(str, (contents.get("after") or {}).get("reasons", [])))
        rows.append(
            [
                str(event.ledger_entry.number),
                moment(event.at),
                name_of(event.actor),
                operation_name(event.operation),
                event.object,
                _("altered")
                if fault
                else _("done")
                if event.outcome == "done"
                else _("failed")
                if event.outcome == "failed"
                else _("refused"),
                in_words(event.reason or reasons or "—"),
                contents.get("request", {}).get("address") or "—",
            ]
        )
    head = [_("number"), _("time"), _("actor"), _("operation"), _("object"), _("outcome"), _("reason"), _("address")]
    return Table(_("Ledger: operations and refusals"), head, rows)
