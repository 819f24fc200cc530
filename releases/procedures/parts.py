"""The parts of a written procedure as frozen values; `document.Procedure` is made of them."""

from typing import Annotated, Any, Literal

from pydantic import Field, Strict, StringConstraints, model_validator

from releases.procedures.part import (
    Condition,
    Item as Item,
    Label as Label,
    LeftOutIfEmpty as LeftOutIfEmpty,
    Part as Part,
)
from releases.procedures.schedule import (
    AuthorsWords as AuthorsWords,
    Emergency as Emergency,
    EmergencyMilestone as EmergencyMilestone,
    Freeze as Freeze,
    Milestone as Milestone,
    Regular as Regular,
    Reminders as Reminders,
    Review as Review,
    Standard as Standard,
    StandardChange as StandardChange,
    WindowName as WindowName,
)
from releases.procedures.values import (
    Day,
    DecimalText,
    Decision,
    EvidenceType,
    Flag,
    Hours,
    Key,
    Name,
    People,
    Place,
    Positive,
    Slug,
    Subject,
    Text,
    Tier,
    TypeParameters,
    VersionText,
    Whole,
    Zone,
)


class HistoryEntry(Label):
    """One row of the procedure's own change history (更新履歴)."""

    date: Day
    version: VersionText


class Role(Item):
    """A role, and whether it is a person's. based_on: the shipped role whose permissions it has; left out: its own key
    is that of a shipped role.
    """

    account: Literal["person", "service"]
    based_on: Annotated[str, LeftOutIfEmpty] = ""

    @property
    def shipped(self) -> str:
        """Return the shipped role whose permissions it has."""
        return self.based_on or self.key


class Level(Item):
    """A level of access to an environment; code decides what it stands for."""


class Access(Label):
    """One cell of the access matrix; a cell that is not written means no access."""

    role: Key
    environment: Key
    level: Key


class ChecklistItem(Item):
    """One item to be signed before the tests count as done."""

    group: Literal["requirements", "technical"]


class DocumentSignature(Label):
    """One signature of a document, with its meaning (the label), asked for in the order in which they are written.

    state: the state that the document has once all signatures of it are given. role: whose signature it is; `author`:
    a person who wrote the text.
    """

    state: Literal["content_checked", "approved"]
    role: Key


class Document(Item):
    """A document of each release or rollback. template: the text that it begins with, where Ringi drafts none from the
    facts. signatures: left out, one for each of the states content_checked and approved that the procedure names.
    """

    template: Annotated[str, LeftOutIfEmpty, StringConstraints(max_length=20_000)] = ""
    signatures: Annotated[tuple[DocumentSignature, ...], LeftOutIfEmpty] = ()


class RecipientGroup(Item):
    """A group that is notified."""

    side: Literal["internal", "external"]


class Channel(Item):
    """A channel of notifications."""

    type: Literal["mail", "slack", "admin", "webhook", "apprise"]


class NotificationRule(Part):
    """Which groups are notified of an event, through which channels; must_act: also those who must act on it.

    documents: those of the release whose address and text it carries once they are approved. lead_hours: hours before
    something is due at which it is notified (0: late); none = at each of the reminders' hours.
    """

    event: Annotated[str, StringConstraints(pattern=r"^[a-z_]+:[a-z_]+$")]
    recipient_groups: tuple[Key, ...] = ()
    channels: tuple[Key, ...] = Field(min_length=1)
    must_act: Flag = False
    documents: tuple[Key, ...] = ()
    lead_hours: tuple[Hours, ...] = ()


class Branch(Item):
    """A branch or a family of branches."""

    pattern: Text


class AcceptedBranches(Part):
    """The heads from which an environment accepts a commit; `emergency_patterns` only count in an emergency."""

    environment: Key
    patterns: tuple[Text, ...] = Field(min_length=1)
    emergency_patterns: tuple[Text, ...] = ()


class Requirement(Item):
    """A requirement of a protected branch."""

    key: Literal["review", "tests", "signature"]


class ProtectedBranch(Item):
    """A protected branch; its key is the branch."""

    tier: Tier
    requires: tuple[Requirement, ...] = Field(min_length=1)


class TestEnvironment(Item):
    """A test environment, mapped to an environment."""

    __test__ = False  # pytest would collect the class by its name
    environment: Key


class TestType(Item):
    """A type of test."""

    __test__ = False


class Cell(Part):
    """One cell of the test matrix."""

    type: Key
    test_environment: Key
    required: Flag


class EnvironmentConfiguration(Part):
    """The words for database, cache and storage of an environment."""

    database: Label
    cache: Label
    storage: Label


class Environment(Item):
    """An environment with its purpose (the label), tier and place in the order of promotion.

    name: instead of name_ja and name_en, one name for all readers. after_hours: for the second and later of several
    production environments, how many hours after the planned start in the one before theirs may be.
    """

    key: Slug
    name_ja: Name
    name_en: Name
    tier: Tier
    order: Place
    protected: Flag
    after_hours: Annotated[Hours, LeftOutIfEmpty] = 0
    zone: Zone
    configuration: Annotated[EnvironmentConfiguration | None, Field(exclude_if=lambda value: value is None)] = None

    @model_validator(mode="before")
    @classmethod
    def _has_a_name_for_each_reader(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        names = [value[key] for key in ("name", "name_en", "name_ja") if key in value]
        rest = {key: inner for key, inner in value.items() if key != "name"}
        return {"name_ja": names[0], "name_en": names[0], **rest} if names else value

    @property
    def slug(self) -> str:
        """Its key, as rows of environments name it."""
        return self.key


class ApprovalRule(Part):
    """How many persons of a role or team role approve at a stage; role `none` with 0 needs no approval.

    environment: instead of a tier, one environment, whose rules for this subject then replace those of its tier.
    decisions: what these persons may decide; left out: all three. A role with the number 0 is not asked, and may decide
    so at each stage (a veto).
    """

    subject: Subject
    tier: Annotated[Literal[Tier, "all", ""], LeftOutIfEmpty] = ""
    environment: Annotated[str, LeftOutIfEmpty] = ""
    when: Condition = None
    stage: Whole
    role: Key
    number: People
    decisions: Annotated[tuple[Decision, ...], LeftOutIfEmpty] = ()


class Gate(Item):
    """A check made when a deployment is scheduled and again when it starts, in the tiers and environments named.

    subject, roles: of an attestation (roles left out: as any evidence). hours: of a promotion, since each verification.
    """

    type: Key
    tiers: tuple[Tier, ...] = ()
    environments: Annotated[tuple[Key, ...], LeftOutIfEmpty] = ()
    when: Condition = None
    evidence: EvidenceType = ""
    threshold: str = ""
    subject: Annotated[str, LeftOutIfEmpty, StringConstraints(max_length=60)] = ""
    roles: Annotated[tuple[Key, ...], LeftOutIfEmpty] = ()
    hours: Annotated[int, LeftOutIfEmpty, Strict(), Field(ge=0, le=1000)] = 0


class Threshold(Item):
    """A number that evidence is compared with; a fraction is kept as text."""

    value: DecimalText | Whole


class Meaning(Item):
    """What raising a part of the version means, and the types of change that require it."""

    key: Literal["major", "minor", "patch"]
    change_types: tuple[Key, ...] = Field(min_length=1)


class Versions(Part):
    """The form of versions and tags, and whose commits a version is made of.

    committers_are_authors: a release with commits of an unknown committer cannot be approved, as with authors.
    """

    committers_are_authors: Flag = False
    meanings: tuple[Meaning, ...]
    example: VersionText
    pre_release: VersionText
    tag_format: Annotated[str, StringConstraints(pattern=r"^[^{}\s]*\{version\}[^{}\s]*$")]
    tag_example: Text
    tag_requirements: tuple[Item, ...] = Field(min_length=1)


class Step(Item):
    """One step of a plan.

    deadline_seconds: when it is stopped (left out: ten times the estimate, at least a minute).
    no_output_timeout_seconds: when it is stopped because its command has written nothing so long (left out: never).
    on: where it runs, of several targets: `first` (once), or a group of targets by its key; left out: each.
    """

    type: Key
    when: Condition = None
    on: Annotated[Key | Literal[""], LeftOutIfEmpty] = ""
    parameters: TypeParameters
    estimate_seconds: Positive
    required: Flag
    deadline_seconds: Positive | None = None
    no_output_timeout_seconds: Positive | None = None


class Check(Item):
    """One check: when and where (`on`, as of a step), and its type. `batch`: before the next batch begins."""

    when: Literal["batch", "deployment", "monitoring", "rollback"]
    maintenance: Literal["during", "after"]
    type: Key
    on: Annotated[Key | Literal[""], LeftOutIfEmpty] = ""
    parameters: TypeParameters
    required: Flag


class Metric(Item):
    """A measured quantity; `unit` is ratio, seconds, flag or count."""

    unit: Literal["ratio", "seconds", "flag", "count"]


class Monitoring(Part):
    """How long and how often the target is monitored, and checked beside it; shares are decimal text.

    baseline_statistic: the statistic of the baseline's measurements that a ratio is compared with: their mean, or a
    percentile of them. error_limit: after how many measurements in a row without a value monitoring is reported as
    inconclusive (never before a trigger's own n).
    """

    duration: AuthorsWords = None
    duration_seconds: Positive
    interval_seconds: Positive
    metrics: tuple[Key, ...] = Field(min_length=1)
    baseline_minutes: Positive
    baseline_statistic: Literal["mean", "p50", "p90", "p95", "p99"] = "mean"
    check_interval_minutes: Positive
    measurements_min: DecimalText
    error_limit: Positive = 5


class Trigger(Item):
    """A reason for a rollback; a measured one has metric, comparison, limit and k of n, a manual one none.

    dry_run: it is measured and shown, but raises no alarm, and monitoring may pass without its metric.
    """

    critical: Flag
    group: Literal["system", "performance", "functional", "operational"]
    metric: str = ""
    comparison: Literal["", "absolute", "ratio"] = ""
    limit: DecimalText | None = None
    k: Whole = 0
    n: Whole = 0
    dry_run: Flag = False

    @property
    def measured(self) -> bool:
        """Tell whether it fires by itself."""
        return bool(self.metric)


class Rollback(Part):
    """The rollback beside its steps: causes that people may name, preparation, documents and limits."""

    reasons: tuple[Item, ...] = Field(min_length=1)
    assessment: tuple[Item, ...] = Field(min_length=1)
    communication: tuple[Item, ...] = Field(min_length=1)
    documents: tuple[Document, ...] = Field(min_length=1)
    monitoring_duration: AuthorsWords = None
    monitoring_seconds: Positive
    decision_request_minutes: Positive
    decision_request_on_timeout: Literal["roll_back", "keep"]


class FinalCheck(Part):
    """The items that are signed at T-1, and by which roles; without signers the final check passes by itself.

    when: the releases that have one; left out: all.
    """

    when: Condition = None
    signers: tuple[Key, ...] = ()
    items: tuple[Item, ...] = ()


class FollowUpRule(Item, Review):
    """What is due after something was skipped."""


class Retention(Part):
    """How long dumps and records are kept."""

    backups_days: Positive
    records_years: Positive
