"""The whole written procedure as one frozen value: all numbers, lists and words that releases follow.

Models keep its JSON form; gates, operations and pages read it. A text or an edited draft is read by
`Procedure.from_toml` or `Procedure.checked`, which list every fault; `model_validate` is for JSON checked before.
"""

import tomllib
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, Protocol, Self, get_args

from django.utils.translation import gettext as _
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from releases.procedures import parts
from releases.procedures.consistency import faults_between
from releases.procedures.forms import readable
from releases.procedures.left_out import completed
from releases.procedures.part import meant
from releases.procedures.places import Fault, Path, ProcedureFaults, dotted, fault_at, lines_of, message_of, near
from releases.procedures.rows import rows_of
from releases.procedures.shared import with_shared
from releases.procedures.values import (
    AUTHOR,
    CHECK_TYPES,
    GATE_TYPES,
    NAMED_PERMISSIONS,
    STEP_TYPES,
    ApplicationKey,
    Decision,
    Language,
    ProcedureKey,
    VersionText,
)

__all__ = ["Fault", "Procedure", "ProcedureFaults"]


class Place(Protocol):
    """What rules and gates are chosen by: the key of an environment, and its tier."""

    @property
    def slug(self) -> str:
        """The key."""

    @property
    def tier(self) -> str:
        """The tier."""


class Section(BaseModel):
    """A section of a document."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Schedule(Section):
    """When releases happen, what an emergency is and which changes are standard; left out: there are none of these."""

    regular: parts.Regular
    emergency: Annotated[parts.Emergency | None, Field(exclude_if=lambda value: value is None)] = None
    standard: Annotated[parts.Standard | None, Field(exclude_if=lambda value: value is None)] = None


class Testing(Section):
    """The test environments, the test types, and which tests are required where."""

    environments: tuple[parts.TestEnvironment, ...] = ()
    types: tuple[parts.TestType, ...] = ()
    matrix: tuple[parts.Cell, ...] = ()


class Plans(Section):
    """The steps of deployment and rollback, the steps before the rollback, and those after the internal checks have
    passed.
    """

    deployment: tuple[parts.Step, ...] = Field(min_length=1)
    after_deployment: tuple[parts.Step, ...] = ()
    before_rollback: tuple[parts.Step, ...] = ()
    rollback: tuple[parts.Step, ...] = Field(min_length=1)
    after_rollback: tuple[parts.Step, ...] = ()


class Procedure(Section):
    """A written procedure, complete and free of contradictions.

    key: empty for the procedure of the organisation. A further procedure has a key, and applies to the applications
    that it names, by their keys; it shares some sections with the one of the organisation, see procedures/shared.py.
    """

    format: Literal[1]
    key: Annotated[ProcedureKey, parts.LeftOutIfEmpty] = ""
    version: VersionText
    name: parts.Label
    applications: Annotated[tuple[ApplicationKey, ...], parts.LeftOutIfEmpty] = ()
    languages: Annotated[tuple[Language, ...], parts.LeftOutIfEmpty] = ()
    history: tuple[parts.HistoryEntry, ...] = ()
    purpose: tuple[parts.Item, ...] = ()
    readers: tuple[parts.Item, ...] = ()
    roles: tuple[parts.Role, ...] = Field(min_length=1)
    levels: tuple[parts.Level, ...] = Field(min_length=1)
    access: tuple[parts.Access, ...] = Field(min_length=1)
    environments: tuple[parts.Environment, ...] = Field(min_length=1)
    schedule: Schedule
    freezes: Annotated[tuple[parts.Freeze, ...], parts.LeftOutIfEmpty] = ()
    milestones: tuple[parts.Milestone, ...] = ()
    reminders: parts.Reminders
    checklist: tuple[parts.ChecklistItem, ...] = ()
    recipient_groups: tuple[parts.RecipientGroup, ...] = ()
    channels: tuple[parts.Channel, ...] = ()
    notification_rules: tuple[parts.NotificationRule, ...] = ()
    documents: tuple[parts.Document, ...] = ()
    document_states: tuple[parts.Item, ...] = ()
    branches: tuple[parts.Branch, ...] = ()
    workflows: tuple[parts.Branch, ...] = ()
    accepted_branches: tuple[parts.AcceptedBranches, ...] = Field(min_length=1)
    protected_branches: tuple[parts.ProtectedBranch, ...] = ()
    testing: Testing = Testing()
    versions: parts.Versions
    approval_rules: tuple[parts.ApprovalRule, ...] = Field(min_length=1)
    gates: tuple[parts.Gate, ...] = Field(min_length=1)
    thresholds: tuple[parts.Threshold, ...] = Field(min_length=1)
    plans: Plans
    checks: tuple[parts.Check, ...] = Field(min_length=1)
    metrics: tuple[parts.Metric, ...] = Field(min_length=1)
    monitoring: parts.Monitoring
    triggers: tuple[parts.Trigger, ...] = ()
    rollback: parts.Rollback
    team_roles: tuple[parts.Item, ...] = Field(min_length=1)
    final_check: parts.FinalCheck = parts.FinalCheck()
    follow_ups: tuple[parts.FollowUpRule, ...]
    retention: parts.Retention

    @classmethod
    def from_toml(
        cls, text: str | Mapping[str, str], organisation: "Procedure | None" = None, **types: Collection[str]
    ) -> Self:
        """Read a procedure from TOML. Raises ProcedureFaults with every fault, each with its line.

        text: one text, or file name → text of the files that make up the document; no two files define the same key.
        organisation: the procedure that a further one shares sections with. types: as in `checked`.
        """
        raw: dict[str, Any] = {}
        lines: dict[Path, str] = {}
        faults = []
        for file, chapter in ({"": text} if isinstance(text, str) else text).items():
            try:
                part = tomllib.loads(chapter)
            except tomllib.TOMLDecodeError as fault:
                faults.append(Fault(file or _("(the text)"), _("is not TOML: %(fault)s") % {"fault": fault}))
                continue
            here: dict[Path, str] = {(key,): file for key in part if file} | lines_of(chapter, file)
            twice = [(key,) for key in part if key in raw]
            text = _("is already defined in %(place)s")
            faults += [fault_at(path, text % {"place": near(lines, path)}, here) for path in twice]
            raw, lines = part | raw, here | lines
        if faults:
            raise ProcedureFaults(faults)
        if raw.get("key"):
            if organisation is None:
                text = _("is of a further procedure, which is read together with the one of the organisation")
                raise ProcedureFaults([fault_at(("key",), text, lines)])
            raw = with_shared(raw, organisation.model_dump(mode="json"))
        return cls.checked(raw, lines, **types)

    @classmethod
    def checked(
        cls,
        raw: Mapping[str, Any],
        lines: Mapping[Path, str] | None = None,
        /,
        *,
        step_types: Collection[str] = STEP_TYPES,
        check_types: Collection[str] = CHECK_TYPES,
        gate_types: Collection[str] = GATE_TYPES,
        events: Collection[str] = (),
    ) -> Self:
        """Build a procedure from plain values (TOML or JSON). Raises ProcedureFaults with every fault.

        types: names of types; where they lead to the models of their parameters, these judge as well. events: the
        notification events that there are (empty: not checked).
        """
        raw = completed(raw)
        found: dict[tuple[Path, str], None] = {}
        procedure: Self | None = None
        try:
            procedure = cls.model_validate(raw)
        except ValidationError as invalid:
            strange = {
                (error["loc"])
                for error in invalid.errors(include_url=False)
                if error["type"] == "string_pattern_mismatch" and error["input"] == error["loc"][-1]
            }
            for error in invalid.errors(include_url=False, include_input=False):
                if error["loc"] in strange:
                    error["type"] = "extra_forbidden"
                path = _path_in(raw, error["loc"])
                # A list whose rows are all malformed counts as empty; its rows say what is wrong.
                if error["type"] != "too_short" or not rows_of(raw, dotted(path)):
                    found[(path, message_of(error))] = None
            raw = readable(raw, [path for path, _message in found])
        between = faults_between(
            raw, step_types=step_types, check_types=check_types, gate_types=gate_types, events=events
        )
        for path, message in between:
            found[(path, message)] = None
        if found or procedure is None:
            raise ProcedureFaults(fault_at(path, message, lines or {}) for path, message in found)
        return procedure

    def named_permissions(self) -> dict[str, frozenset[str]]:
        """Return role → what it may do because an approval rule, a gate or the final check names it; only roles so
        named.
        """
        found = dict.fromkeys(self.final_check.signers, NAMED_PERMISSIONS["final_check"])
        for role in {role for gate in self.gates for role in gate.roles}:
            found[role] = found.get(role, frozenset()) | NAMED_PERMISSIONS["attestation"]
        for document in (*self.documents, *self.rollback.documents):
            for role in {signature.role for signature in document.signatures} - {AUTHOR}:
                found[role] = found.get(role, frozenset()) | NAMED_PERMISSIONS["document"]
        for rule in self.approval_rules:
            given = NAMED_PERMISSIONS[rule.subject]
            if rule.decisions:
                given -= set(get_args(Decision)) - {"approve", *rule.decisions}  # without "approve" no page opens
            found[rule.role] = found.get(rule.role, frozenset()) | given
        return found

    def emergency_hours(self) -> dict[str, int]:
        """Return milestone key → hours before T-0 in an emergency."""
        emergency = self.schedule.emergency
        return {row.key: row.hours_before for row in emergency.milestones} if emergency is not None else {}

    def main_language(self) -> str:
        """Return the language of names that are kept once for all readers: the first of the procedure's."""
        return self.languages[0] if self.languages else "ja"

    def criteria(self, kind: str) -> tuple[parts.Item, ...]:
        """Return what makes a release one of a type: the criteria of an emergency, the standard changes; else nothing.
        Without any, there are no releases of these two types.
        """
        if kind == "emergency" and self.schedule.emergency is not None:
            return self.schedule.emergency.criteria
        return self.standard_changes() if kind == "standard" else ()

    def standard_changes(self) -> tuple[parts.StandardChange, ...]:
        """Return the changes that are approved beforehand; empty where there are none."""
        return self.schedule.standard.changes if self.schedule.standard is not None else ()

    def validity_hours(self) -> int:
        """Return how long the approval of an emergency release is valid; 0 where there are none."""
        return self.schedule.emergency.validity_hours if self.schedule.emergency is not None else 0

    def approvals_for(self, subject: str, *places: Place, kind: str = "", risk: str = "") -> list[parts.ApprovalRule]:
        """Return the approval rules of a subject by stage; without a rule the request is refused.

        places: the environments that are decided about, none for what concerns all of them. Rules that name an
        environment replace those of its tier. kind, risk: the type and risk class of the release; "": the rules of
        each. A deployment process without rules of its own has those of the procedure.
        """
        if subject == "process" and all(rule.subject != subject for rule in self.approval_rules):
            subject = "procedure"
        mine = [rule for rule in self.approval_rules if rule.subject == subject and meant(rule.when, "", risk)]
        mine = [rule for rule in mine if meant(rule.when, kind, "")]
        found: dict[int, parts.ApprovalRule] = {}
        for place in places:
            own = [rule for rule in mine if rule.environment == place.slug]
            found |= {id(rule): rule for rule in own or mine if own or rule.tier == place.tier}
        rules = found.values() if places else [rule for rule in mine if rule.tier == "all"]
        return sorted(rules, key=lambda rule: rule.stage)

    def rules_for(self, subject: str, *places: Place, kind: str = "", risk: str = "") -> list[dict[str, Any]]:
        """Return the same as an approval request holds them: `{"stage", "role", "number"}`, by stage, and `decisions`
        where a rule limits them. A role that rules of several environments ask at a stage is asked once, for as many
        persons as the most demanding of them.
        """
        found: dict[tuple[int, str], dict[str, Any]] = {}
        for rule in self.approvals_for(subject, *places, kind=kind, risk=risk):
            row = found.setdefault((rule.stage, rule.role), {"stage": rule.stage, "role": rule.role, "number": 0})
            row["number"] = max(row["number"], rule.number)
            allowed = set(row.get("decisions", ())) | set(rule.decisions or get_args(Decision))
            row["decisions"] = [decision for decision in get_args(Decision) if decision in allowed]
        for row in found.values():
            if len(row["decisions"]) == len(get_args(Decision)):
                del row["decisions"]
        somebody = [row for row in found.values() if row["role"] != "none"]
        return somebody or list(found.values())

    def gates_for(self, place: Place, *, kind: str = "", risk: str = "") -> list[parts.Gate]:
        """Return the gates that are checked in an environment for a release of a type and risk class ("": any)."""
        return [
            gate
            for gate in self.gates
            if (place.tier in gate.tiers or place.slug in gate.environments) and meant(gate.when, kind, risk)
        ]

    def final_check_of(self, kind: str, risk: str) -> parts.FinalCheck:
        """Return the final check of a release of a type and risk class; an empty one where it has none."""
        return self.final_check if meant(self.final_check.when, kind, risk) else parts.FinalCheck()

    def signatures_of(self, document: parts.Document) -> list[tuple[str, str, parts.Label]]:
        """Return state, role ("": every role with the permission) and meaning of each signature of a document."""
        if document.signatures:
            return [(row.state, row.role, row) for row in document.signatures]
        states = {row.key: row for row in self.document_states}
        return [(state, "", states[state]) for state in ("content_checked", "approved") if state in states]

    def threshold_values(self) -> dict[str, str | int]:
        """Return threshold key → value as `releases.evidence_readers.evaluate` takes it."""
        return {threshold.key: threshold.value for threshold in self.thresholds}

    def accepted_patterns(self, environment: str, *, emergency: bool = False) -> tuple[str, ...]:
        """Return the patterns of heads that an environment accepts; none for an environment that is not named."""
        for row in self.accepted_branches:
            if row.environment == environment:
                return row.patterns + (row.emergency_patterns if emergency else ())
        return ()

    def level_of(self, role: str, environment: str) -> parts.Level | None:
        """Return the level of access of a role in an environment, None for no access."""
        named = {(cell.role, cell.environment): cell.level for cell in self.access}
        wanted = named.get((role, environment))
        return next((level for level in self.levels if level.key == wanted), None)

    def change_types(self) -> dict[str, str]:
        """Return type of change → part of the version that it raises."""
        return {kind: meaning.key for meaning in self.versions.meanings for kind in meaning.change_types}


def _path_in(raw: Any, location: tuple[str | int, ...]) -> Path:
    """Return the keys of the text in pydantic's location, which names branches of unions too."""
    path: Path = ()
    here = raw
    for part in location:
        step: Any = part
        if (isinstance(here, Mapping) and part in here) or (isinstance(here, list) and isinstance(part, int)):
            here = here[step]
        elif not isinstance(here, Mapping):
            break
        else:
            here = None
        path = (*path, part)
    return path
