"""The words and number forms in which parts of a procedure are written, each refusing any other form."""

from datetime import date, time
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import semver
from django.utils.translation import gettext as _
from pydantic import AfterValidator, BeforeValidator, Field, Strict, StringConstraints

from environments.calendar import rule_fault

# The types of the default procedure. The registries lie above this package: a caller that has them passes its own
# names to `Procedure.from_toml` (releases/queries/procedure_types.py).
STEP_TYPES = frozenset(
    ("backup", "maintenance_mode", "code_deploy", "database_update", "configuration_update")
    + ("service_control", "command")
)
CHECK_TYPES = frozenset(
    ("log", "metrics", "http", "sql", "service_state", "alerts", "backup", "configuration_digest")
    + ("security", "command", "manual")
)
GATE_TYPES = frozenset(
    ("evidence", "approval", "change_window", "change_freeze", "promotion", "rollback_rehearsal", "checklist")
    + ("milestone", "branch_protection", "tag", "branch", "release_team", "document", "follow_up", "attestation")
)

Tier = Literal["development", "staging", "production"]
Origin = Literal["", "written", "default"]
# The types of evidence that a gate may read: all but a plain file, which has no result.
EvidenceType = Literal["", "junit", "coverage", "sarif", "review", "security_scan", "performance"]
# The threshold that a type of evidence is judged by.
JUDGED_BY = {
    "junit": "failed_tests_max",
    "coverage": "coverage_min",
    "sarif": "static_errors_max",
    "security_scan": "security_findings_max",
    "performance": "performance_ratio_max",
}
# The documents of a rollback, and the role by which a document is signed by a person who wrote it.
ROLLBACK_DOCUMENTS = frozenset({"report", "cause", "prevention"})
AUTHOR = "author"
# The types of release that go into production under an approval; each is a subject of approval rules.
RELEASES: frozenset[str] = frozenset({"regular", "standard", "emergency"})
Subject = Literal[
    "regular", "standard", "emergency", "extra_window", "late_rollback", "procedure", "process", "emergency_stop_lift"
]
# What a person named by an approval rule may decide about a release.
Decision = Literal["approve", "send_back", "reject"]
# What a role may do in the requests whose rule names it, whatever its other permissions are.
NAMED_PERMISSIONS: dict[str, frozenset[str]] = {
    **dict.fromkeys(RELEASES, frozenset({"approve", "send_back", "reject"})),
    **dict.fromkeys(("extra_window", "procedure", "process", "emergency_stop_lift"), frozenset({"approve_change"})),
    "late_rollback": frozenset(),
    "final_check": frozenset({"sign_final_check"}),
    "attestation": frozenset({"upload_evidence"}),
    "document": frozenset({"sign_document"}),
}
TIERLESS: frozenset[str] = frozenset({"procedure", "process", "emergency_stop_lift"})


def _decimal(text: str) -> str:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(_('must be a decimal number written as text, such as "0.90"')) from None
    if not number.is_finite() or number < 0:
        raise ValueError(_("must be a number of zero or more"))
    return text


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(_("is no time zone of the IANA list")) from None
    return name


def _recurrence(text: str) -> str:
    if fault := rule_fault(text):
        raise ValueError(fault)
    return text


def _version(text: str) -> str:
    if not semver.Version.is_valid(text):
        raise ValueError(_("is no semantic version such as 1.2.3"))
    return text


def _clock(text: str) -> str:
    try:
        time.fromisoformat(text)
    except ValueError:
        raise ValueError(_("is no time of day such as 01:00")) from None
    return text


def _day(value: object) -> object:
    # A number would be read as seconds since 1970.
    if not isinstance(value, date | str):
        raise ValueError(_("must be a date such as 2024-03-21"))
    return value


def _without_floats(value: Any) -> Any:
    if isinstance(value, float):
        raise ValueError(_("has a number with a fraction; write it as text, so that its digest never varies"))
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _without_floats(inner)
    return value


# A language of labels, as ISO 639-1 names it.
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")]
# No value is longer or greater than the column that keeps it.
Text = Annotated[str, StringConstraints(pattern=r"\S", max_length=200)]
Name = Annotated[str, StringConstraints(pattern=r"\S", max_length=60)]
Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=50)]
ProcedureKey = Annotated[str, StringConstraints(pattern=r"^([a-z][a-z0-9_-]*)?$", max_length=40)]
ApplicationKey = Annotated[str, StringConstraints(pattern=r"^[-a-zA-Z0-9_]+$", max_length=50)]
Whole = Annotated[int, Strict(), Field(ge=0, le=1_000_000_000)]
Positive = Annotated[int, Strict(), Field(ge=1, le=1_000_000_000)]
People = Annotated[int, Strict(), Field(ge=0, le=100)]
Place = Annotated[int, Strict(), Field(ge=1, le=1000)]
Days = Annotated[int, Strict(), Field(ge=0, le=366)]
Hours = Annotated[int, Strict(), Field(ge=0, le=24 * 366)]
WindowMinutes = Annotated[int, Strict(), Field(ge=1, le=7 * 24 * 60)]
Flag = Annotated[bool, Strict()]
DecimalText = Annotated[str, AfterValidator(_decimal)]
Zone = Annotated[str, StringConstraints(max_length=40), AfterValidator(_zone)]
Recurrence = Annotated[str, StringConstraints(max_length=200), AfterValidator(_recurrence)]
VersionText = Annotated[str, StringConstraints(max_length=40), AfterValidator(_version)]
Clock = Annotated[str, StringConstraints(pattern=r"^\d\d:\d\d$"), AfterValidator(_clock)]
Day = Annotated[date, BeforeValidator(_day)]
TypeParameters = Annotated[dict[str, Any], AfterValidator(_without_floats)]

# On how many measurements or checks a trigger can look back.
MOST_PLACES = 60
