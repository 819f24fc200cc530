"""The contract of a gate: its result for a release and an environment is passed, not passed or unknown."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal, get_args

from django.db.models import Case, Exists, OuterRef, Value, When
from django.utils.functional import Promise

from audit.clock import now
from audit.standing import Standing, standing
from environments.attach_related import attach_related
from environments.models import ChangeFreeze, ChangeWindow, DeploymentTarget, Environment
from releases.models import (
    DeployedVersion,
    Deployment,
    EmergencyStop,
    Evidence,
    Fact,
    FollowUp,
    MonitoringPeriod,
    Procedure,
    Release,
    Waiver,
)
from releases.procedures.document import Procedure as Content
from releases.procedures.parts import FinalCheck, Gate
from releases.procedures.values import Tier

GateResult = Literal["passed", "waived", "not_passed", "unknown"]
PASSING = ("passed", "waived")
# Gates that people set on an environment's page: they apply there even if the procedure does not name them.
SET_ON_PAGES = tuple(
    Gate.model_validate({"key": key, "type": key, "tiers": get_args(Tier), "ja": ja, "en": en, "origin": "default"})
    for key, ja, en in (
        ("change_window", "リリース時間帯", "Change window"),
        ("change_freeze", "凍結期間", "Change freeze"),
    )
)
MOST_FOLLOW_UPS = 50


class Known:
    """The data of one release for all gates of all environments, each part read once and only when a gate needs it."""

    def __init__(self, release: Release, moment: datetime | None = None) -> None:
        self.release = release
        if moment is not None:
            self.moment = moment

    @cached_property
    def moment(self) -> datetime:
        """The database's time."""
        return now()

    @cached_property
    def content(self) -> Content:
        """The procedure that the release follows."""
        return procedure_of(self.release)

    @cached_property
    def evidence(self) -> list[Evidence]:
        """The evidence for the release's tree that counts, the newest first. A review that was read from the forge
        counts for the commits alone that it was read for.
        """
        rows = Evidence.objects.counting(self.release.application_id, self.release.tree)
        found = [row for row in rows if not row.from_forge or self._is_of_these_commits(row)]
        attach_related({place.pk: place for place in self.environments}, found, "environment")
        return found

    def _is_of_these_commits(self, row: Evidence) -> bool:
        return row.commit == self.release.commit and row.values["base"] == (self.base or "")

    @cached_property
    def base(self) -> str | None:
        """The commit that the changes of the release begin at: the one in production, None for nothing. While the
        release goes there, the one that was there before.
        """
        if self.release.state == "releasing":
            known = self.facts.get("migrations")
            if known is not None and known.value.get("commit") == self.release.commit:
                return known.value["base"]  # type: ignore[no-any-return]
        before = DeployedVersion.in_production(self.release.application)
        return before.commit if before is not None else None

    @cached_property
    def facts(self) -> dict[str, Fact]:
        """Kind of fact → the last fact about the release itself, without environment."""
        return {fact.kind: fact for fact in self.release.facts.all() if fact.environment_id is None}

    @cached_property
    def environments(self) -> list[Environment]:
        """All environments in the order of promotion; `bound`: one with a target of the application."""
        bound = Exists(
            DeploymentTarget.objects.filter(environment=OuterRef("pk"), application=self.release.application_id)
        )
        return list(Environment.objects.annotate(bound=bound).order_by("order"))

    @property
    def places(self) -> list[Environment]:
        """The environments that have a target of the application, in the order of promotion."""
        return [place for place in self.environments if place.bound]  # type: ignore[attr-defined]

    @cached_property
    def _verified(self) -> list[Deployment]:
        rows = (deployment for deployment in self.release.deployments.all() if deployment.state in Deployment.VERIFIED)
        return [deployment for deployment in rows if deployment.brought_content_of(self.release)]

    @property
    def verified(self) -> set[int]:
        """The environments in which the release was verified with the tree that it has now."""
        return {deployment.environment_id for deployment in self._verified}

    @cached_property
    def verified_at(self) -> dict[int, datetime]:
        """Environment → when the release was first verified there with the tree that it has now: when its monitoring
        began, or, without one, when the deployment ended.
        """
        began = MonitoringPeriod.objects.filter(
            deployment__in=self._verified, purpose=MonitoringPeriod.Purpose.DEPLOYMENT
        )
        times = dict(began.values_list("deployment", "started_at"))
        found: dict[int, datetime] = {}
        for deployment in self._verified:
            at = times.get(deployment.pk) or deployment.ended_at or self.moment
            found[deployment.environment_id] = min(at, found.get(deployment.environment_id, at))
        return found

    @cached_property
    def open_follow_ups(self) -> list[FollowUp]:
        """The application's open follow-up actions: first those that block the next release, then the rest, each by due
        date; no more than MOST_FOLLOW_UPS.
        """
        rows = FollowUp.objects.filter(application=self.release.application_id, completed_at=None)
        last = Case(When(blocks=FollowUp.Blocks.NEXT, then=Value(0)), default=Value(1))
        return list(rows.select_related("release__application").order_by(last, "due_at")[:MOST_FOLLOW_UPS])

    @cached_property
    def condition(self) -> FollowUp | None:
        """The first condition of the release's own approval that is not met."""
        own = self.release.follow_ups.all()
        return next((o for o in own if o.completed_at is None and o.blocks == FollowUp.Blocks.START), None)

    @cached_property
    def blocking_follow_up(self) -> FollowUp | None:
        """The first follow-up action that blocks the next release; overdue or not."""
        return next((o for o in self.open_follow_ups if o.blocks == FollowUp.Blocks.NEXT), None)

    @cached_property
    def deployed_versions(self) -> dict[int, DeployedVersion]:
        """Environment → the application's deployed version there; an unconfirmed one does not count."""
        return {row.environment_id: row for row in DeployedVersion.of(self.release.application_id) if row.counts}

    @cached_property
    def emergency_stops(self) -> list[EmergencyStop]:
        """The emergency stops in effect, of any application."""
        return EmergencyStop.on()

    @cached_property
    def ledger(self) -> Standing:
        """How the ledger stands."""
        return standing()

    @cached_property
    def _frozen(self) -> dict[int, list[ChangeFreeze]]:
        found: dict[int, list[ChangeFreeze]] = {}
        for span in ChangeFreeze.objects.in_effect().reaching(self.release.application_id).spans(self.moment):
            found.setdefault(span.environment_id, []).append(span)
        return found

    def set_freezes(self, environment: Environment) -> list[ChangeFreeze]:
        """The environment's freezes in effect that reach the application, past and future ones too, a recurring one
        once for each time to come.
        """
        return self._frozen.get(environment.pk, [])

    def freezes(self, environment: Environment) -> list[ChangeFreeze]:
        """The freezes as they count for the release: one with an exception begins when the exception ends."""
        found = self.set_freezes(environment)
        exception = self.exception(environment, self.moment) if found else None
        if exception is None or exception.approved_at is None:
            return found
        until, since = exception.until, exception.approved_at
        # A full freeze has no exceptions, and an exception does not cover a freeze that was set after its approval.
        counting = []
        for span in found:
            if span.full or span.created_at > since or span.starts_at >= until:
                counting.append(span)
            elif span.ends_at > until:
                counting.append(span.at(until, span.ends_at))
        return counting

    @cached_property
    def ruled(self) -> set[int]:
        """The environments in which a recurring window reaches the application."""
        return ruled(self.release.application_id)

    def asked(self, environment: Environment) -> list[Gate]:
        """The gates that are asked in an environment: the procedure's for its tier, and beside them a window rule or a
        freeze that somebody has set there.
        """
        gates = self.content.gates_for(environment, kind=self.release.kind, risk=self.release.risk)
        beside = [
            next((own for own in self.content.gates if own.type == gate.type), gate)
            for gate in SET_ON_PAGES
            if all(gate.type != other.type for other in gates)
        ]
        if not beside:
            return gates
        is_set = {
            "change_freeze": any(freeze.ends_at > self.moment for freeze in self.set_freezes(environment)),
            "change_window": environment.pk in self.ruled,
        }
        return [*gates, *(gate for gate in beside if is_set[gate.type])]

    def exception(self, environment: Environment, at: datetime) -> Waiver | None:
        """The exception from a freeze in an environment that two people have approved for the release at a time."""
        keys = {gate.key for gate in self.content.gates if gate.type == "change_freeze"} | {"change_freeze"}
        rows = (row for row in self.release.waivers.all() if row.environment_id == environment.pk and row.gate in keys)
        return next((row for row in rows if row.counts(at)), None)

    @property
    def orders(self) -> dict[str, int]:
        """Environment → its place in the order of promotion."""
        return {place.slug: place.order for place in self.environments}

    def fresh(self, kind: str, seconds: float) -> Fact | None:
        """Return a fact observed within the last `seconds`, or nothing; an hour asked about may lie far ahead."""
        fact = self.facts.get(kind)
        return fact if fact is not None and (self.moment - fact.observed_at).total_seconds() <= seconds else None


@dataclass(frozen=True)
class GateContext:
    """The question to a gate: may this release be deployed there at `at` (database time, aware)?"""

    release: Release
    environment: Environment
    procedure: Content
    at: datetime
    known: Known

    @property
    def emergency(self) -> bool:
        """Tell whether the release is an emergency."""
        return self.release.kind == Release.Kind.EMERGENCY


@dataclass(frozen=True)
class Answer:
    """The result of a gate; unknown never passes. `anchor` is the place of the release page that would clear it."""

    gate: str
    result: GateResult
    reason: str
    anchor: str = ""
    label_ja: str = ""
    label_en: str = ""
    kind: str = ""

    @property
    def passes(self) -> bool:
        """Tell whether this gate lets the deployment go on."""
        return self.result in PASSING


def ruled(application_id: int) -> set[int]:
    """Return the environments in which a recurring window in effect reaches an application: there a deployment starts
    only inside a window.
    """
    rules = ChangeWindow.objects.in_effect().reaching(application_id).exclude(rrule="")
    return set(rules.values_list("environment_id", flat=True))


@dataclass(frozen=True)
class GateType:
    """One gate type. name: what gates of a procedure call it; clears: what people do so that it passes."""

    name: str
    ask: Callable[[GateContext, Gate], Answer]
    clears: str | Promise
    waivable: bool = False


def passed(gate: Gate, reason: str = "", anchor: str = "") -> Answer:
    """Return passed."""
    return Answer(gate.key, "passed", reason, anchor, gate.ja, gate.en, gate.type)


def not_passed(gate: Gate, reason: str, anchor: str = "") -> Answer:
    """Return not passed with its sentence."""
    return Answer(gate.key, "not_passed", reason, anchor, gate.ja, gate.en, gate.type)


def unknown(gate: Gate, reason: str, anchor: str = "") -> Answer:
    """Return unknown with its sentence."""
    return Answer(gate.key, "unknown", reason, anchor, gate.ja, gate.en, gate.type)


def final_check_of(release: Release) -> FinalCheck:
    """Return the final check that the procedure asks of a release."""
    return procedure_of(release).final_check_of(release.kind, release.risk)


def procedure_of(release: Release) -> Content:
    """Return the procedure that a release follows, the one its scope was locked under, else the one in effect, with the
    deployment process of its application.
    """
    row = release.procedure or Procedure.objects.get(state="in_effect", key=release.application.procedure)
    return release.process.applied_to(row.document) if release.process is not None else row.document
