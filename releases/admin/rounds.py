"""Where a round of consent stands and what it is about, for the pages that show one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from environments.models import Account
from environments.roles import ROLE_CHOICES
from releases.actions.consent.decide import DUTIES
from releases.actions.consent.lapse import stale
from releases.actions.waiver.propose import waivable_in
from releases.admin.procedure_difference import differences
from releases.admin.replayed import replay_lines
from releases.admin.shown import language, missing_persons, span, when, word
from releases.gates import quorum
from releases.gates.content import NO_SIGNERS, clause_labels, document
from releases.models import Change, ConsentRound, Procedure, Release
from releases.models.release import preauthorisation_words


@dataclass(frozen=True)
class Standing:
    """An open round as its page tells it. `why_not` is empty when the reader may still give his word."""

    missing: list[tuple[str, int]]
    missing_words: str
    stage: int
    candidates: list[Account]
    why_not: str
    given: bool


def words_for(missing: list[tuple[str, int]]) -> str:
    """Return the missing roles in words."""
    names = {key: str(name) for key, name in ROLE_CHOICES}
    return ", ".join(f"{names.get(role, role)} ({missing_persons(count)})" for role, count in missing)


def standing_of(round_: ConsentRound, account: Account | None) -> Standing:
    """Return where an open round stands, and why the reader cannot consent to it if so."""
    words = list(round_.approvals.all())
    where = quorum.standing(quorum.rules_of(round_), quorum.counting(round_, words))
    missing = [(role, count) for role, count in where.missing]
    kept_out = quorum.kept_out(round_)
    person = account.person_key if account is not None else ""
    given = person in quorum.speakers(words)
    duty = kept_out.get(person, "")
    return Standing(
        missing=missing,
        missing_words=words_for(missing),
        stage=where.stage,
        candidates=quorum.candidates_beside(round_, words, kept_out),
        why_not=str(DUTIES[duty]) if duty else "",
        given=given,
    )


def ended_because(round_: ConsentRound) -> str:
    """Return why the approvals of a round do not count any more, naming what changed; empty while they do.

    A round whose content differs already does not count either, also before it is ended.
    """
    labels = clause_labels()
    match round_.state:
        case "consumed":
            return ""
        case "open" | "granted":
            if not (key := stale(round_)):
                return ""
            if key != "window":
                return _("Invalidated: “%(field)s” is no longer what was approved.") % {"field": labels.get(key, key)}
            return _("Expired: its time is over.")
        case "expired":
            return _("Expired: its time is over.")
        case "sent_back":
            return _("The approval request was sent back.")
        case "rejected":
            return _("The approval request was rejected.")
        case "taken_back":
            return _("The approval request was withdrawn.")
    key = round_.void_key
    if key in ("amended", "withdrawn"):
        return _("Invalidated: %(what)s.") % {"what": labels[key]} + _changed_since(round_)
    if not key:
        return _("Invalidated: the approval request was ended.")
    return _("Invalidated: “%(field)s” is no longer what was approved.") % {"field": labels.get(key, key)}


def _changed_since(round_: ConsentRound) -> str:
    release, place = round_.release, round_.environment
    if release is None or place is None or release.state != "draft" or release.procedure is None:
        return ""
    present, labels = document(release, place), clause_labels()
    changed = [labels.get(key, key) for key, value in present.items() if round_.document.get(key) != value]
    return " " + _("Changed since then: %(fields)s.") % {"fields": ", ".join(changed)} if changed else ""


@dataclass(frozen=True)
class Clause:
    """One key of what is consented to: its words, what it says, and the exact value where that is longer."""

    key: str
    label: str
    text: str
    exact: str = ""


def clauses(document: dict[str, Any], zone: str = "") -> list[Clause]:
    """Return what is consented to in the order in which people ask about it; keys without words stay as they are."""
    labels = clause_labels()
    order = {key: index for index, key in enumerate(labels)}
    return _procedure_difference(document) + [
        _waivers(labels.get(key, key), document, zone)
        if key == "waivers" and document[key]
        else _clause(key, labels.get(key, key), document[key], zone)
        for key in sorted(document, key=lambda key: (order.get(key, len(order)), key))
    ]


def _procedure_difference(document: dict[str, Any]) -> list[Clause]:
    """Return each value in which a new version of the procedure differs from the one that it was compared with."""
    if "moved" not in document:
        return []
    base, version = (
        Procedure.objects.filter(version=row["version"], digest=row["digest"]).first()
        for row in (document["base"], document)
    )
    if base is None or version is None:
        return [Clause("difference", _("difference"), _("unknown: one of the two versions is no longer stored"))]
    lines = [
        f"{row.section} › {row.place}: {row.left or _('nothing')} → {row.right or _('nothing')}"
        for row in differences(base, version)
    ]
    label = _("difference from version %(version)s") % {"version": base.version}
    return [Clause("difference", label, "\n".join(lines) or _("none"))]


def _waivers(label: str, document: dict[str, Any], zone: str) -> Clause:
    """Return what is waived, in the words of the procedure that is consented to."""
    row = Procedure.objects.filter(**(document.get("procedure") or {})).first()
    known = waivable_in(row.document) if row is not None else []
    words = {key: ja if language() == "ja" else en for key, ja, en in known}
    lines = [
        f"{words.get(gate, gate)} ({where}) – {_moment(until, zone)}" for gate, where, until in document["waivers"]
    ]
    return Clause("waivers", label, "\n".join(lines))


def _clause(key: str, label: str, value: Any, zone: str) -> Clause:
    exact = json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)
    if value in (None, "", [], {}):
        return Clause(key, label, "—")
    match key, value:
        case "signers", str() if value == NO_SIGNERS:
            return Clause(key, label, _("none: no key is known"), value)
        case "changes", list():
            kinds = dict(Change.Kind.choices)
            lines = [f"{kinds.get(kind, kind)}: {text} {ticket}".strip() for kind, text, ticket in value]
            return Clause(key, label, "\n".join(lines))
        case "application_for_release", dict():
            fields = [field for field in Release._meta.fields if field.name in value]
            said = [(f.verbose_name, dict(f.flatchoices).get(value[f.name], value[f.name])) for f in fields]
            return Clause(key, label, "\n".join(f"{name}: {words}" for name, words in said))
        case "window", {"start": start, "validity_hours": hours}:
            return Clause(
                key,
                label,
                _("%(start)s, valid for %(n)d hours from then on") % {"start": _moment(start, zone), "n": hours},
            )
        case (("moved" | "kept"), list()):
            return Clause(key, label, "\n".join(name for _pk, name in value))
        case "window", {"start": start, "end": end}:
            return Clause(key, label, f"{_moment(start, zone)} – {_moment(end, zone)}")
        case (("start" | "end" | "pressed"), str()):
            return Clause(key, label, _moment(value, zone))
        case "kind", str():
            return Clause(key, label, str(dict(Release.Kind.choices).get(value, value)))
        case "base", {"version": version}:
            return Clause(key, label, str(version or _("nothing")), exact)
        case "procedure", {"version": version}:
            return Clause(key, label, str(version), exact)
        case "replay", {"watches": list()}:
            return Clause(key, label, "\n".join(replay_lines(value, zone)), exact)
        case "preauthorised", {"on": _on, "rows": _rows}:
            return Clause(key, label, preauthorisation_words(value))
        case "notices", dict():
            texts = [texts[language()] for texts in value.values() if language() in texts]
            return Clause(key, label, "\n\n".join(f"{text['subject']}\n{text['body']}" for text in texts), exact)
        case "unanswered", str():
            choices = dict(Release._meta.get_field("unanswered").flatchoices)
            return Clause(key, label, str(choices.get(value, value)))
        case "plan", dict():
            return Clause(key, label, _plan(value), exact)
        case "migrations", {"files": list()}:
            return Clause(key, label, _migrations(value["files"]), exact)
    text = value if isinstance(value, str) else exact
    return Clause(key, label, text if len(text) <= 100 else text[:60] + "…", text if len(text) > 100 else "")


def _plan(plan: dict[str, list[dict[str, Any]]]) -> str:
    name = "label_ja" if language() == "ja" else "label_en"
    lines = []
    for phase, words in (("forward", _("Deployment")), ("verify", _("Verification")), ("back", _("Way back"))):
        steps = plan.get(phase, [])
        seconds = sum(step["estimate_seconds"] for step in steps)
        names = " → ".join(str(step[name]) for step in steps)
        lines.append(f"{words} ({span(seconds)}): {names}")
    return "\n".join(lines)


def _migrations(files: list[dict[str, Any]]) -> str:
    lines = []
    for file in files:
        lines.append(file["path"])
        lines += [f"  {f['line']}: {f['what']} — {word(f['effect'])}" for f in file["findings"]]
    return "\n".join(lines) or _("none")


def _moment(text: str | None, zone: str) -> str:
    return when(datetime.fromisoformat(text), zone) if text else "—"
