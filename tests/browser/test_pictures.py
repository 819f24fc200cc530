"""Pictures of every page, kept under var/test/pictures/, each taken only of a page that is sound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from tests.browser.ledger_pages import ledger_pages, ledger_rows
from tests.browser.person import Person
from tests.browser.walk import latin_words

PICTURES = Path(__file__).resolve().parents[2] / "var" / "test" / "pictures"
LOOKS: dict[str, dict[str, Any]] = {
    "ja-light": {"locale": "ja"},
    "ja-dark": {"locale": "ja", "color_scheme": "dark"},
    "ja-phone": {"locale": "ja", "phone": True},
    "en-light": {"locale": "en"},
}
SQUEEZED = "() => [...document.querySelectorAll('.ringi .r-narrow')].some((part) => part.clientWidth < 600)"
CUT = "() => [...document.querySelectorAll('.r-scroll:has(.r-stack)')].some((at) => at.scrollWidth > at.clientWidth)"


def pages(rows: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return name → (who looks, address)."""
    verb = {
        "verb-approve": ("committee_b", "approval", "approve", rows["round"]),
        "verb-reopen-scope": ("manager", "release", "reopen_scope", rows["review"]),
        "verb-team": ("manager", "team", "assign", rows["review"]),
        "verb-verify": ("second_operator", "deployment", "verify", rows["waiting"]),
        "verb-communicate": ("manager", "rollback", "communicate", rows["rollback"]),
        "verb-publication": ("manager", "application", "set_publication", rows["application"]),
        "verb-refused": ("auditor", "release", "reopen_scope", rows["review"]),
        "verb-edit": ("manager", "release", "edit", rows["draft"]),
        "verb-start": ("manager", "release", "set_scheduled_start", rows["draft"]),
        "verb-configuration": ("manager", "release", "set_configuration", rows["draft"]),
        "verb-waiver": ("manager", "waiver", "request", rows["draft"]),
        "verb-copy": ("manager", "release", "copy", rows["released"]),
        "verb-rules": ("manager", "procedure", "revise_approvals", rows["released"].procedure),
        "verb-gates": ("manager", "procedure", "revise_gates", rows["released"].procedure),
        "verb-steps": ("manager", "procedure", "revise_steps", rows["released"].procedure),
        "verb-windows": ("manager", "procedure", "revise_windows", rows["released"].procedure),
        "verb-window-rule": ("manager", "window", "set_rule", rows["running"].environment),
        "verb-monitoring": ("second_operator", "target", "set_monitoring", rows["application"].targets.first()),
        "verb-target": ("operator", "target", "set_options", rows["application"].targets.first()),
        "verb-freeze": ("manager", "window", "create_freeze", rows["running"].environment),
    }
    own = {
        "my-tasks-manager": ("manager", "admin:index", []),
        "my-tasks-committee": ("committee_b", "admin:index", []),
        "my-tasks-operator": ("operator", "admin:index", []),
        "my-tasks-auditor": ("auditor", "admin:index", []),
        "my-tasks-outsider": ("outsider", "admin:index", []),
        "first-steps": ("manager", "first-steps-of", [rows["application"].pk]),
        "from-file": ("administrator", "operation-from-file", ["account", "create"]),
        "verb-account": ("administrator", "operation-new", ["account", "create"]),
        "release-in-review": ("committee_b", "release", [rows["review"].pk]),
        "release-rolled-back": ("manager", "release", [rows["released"].pk]),
        "release-draft": ("manager", "release", [rows["draft"].pk]),
        "deployment-running": ("operator", "deployment", [rows["running"].pk]),
        "deployment-waiting": ("second_operator", "deployment", [rows["waiting"].pk]),
        "deployment-rolled-back": ("operator", "deployment", [rows["back"].pk]),
        "rollback": ("manager", "rollback", [rows["rollback"].pk]),
        "monitoring": ("operator", "monitoring", [rows["back"].monitoring_periods.get(purpose="deployment").pk]),
        "decision-sheet": ("committee_b", "approval-request", [rows["round"].pk]),
        "round-extra-window": ("committee_a", "approval-request", [rows["extra"].pk]),
        "calendar": ("manager", "calendar", []),
        "statistics": ("manager", "statistics", []),
        "glossary": ("manager", "glossary", []),
        "doctor": ("administrator", "doctor", []),
        "sessions": ("manager", "sessions", []),
        "sign": ("tester", "sign-all", [rows["review"].pk]),
        "sign-releases": ("tester", "sign-all-releases", []),
        "several": ("manager", "operation-several", ["release", "cancel"]),
        "procedure-difference": ("manager", "procedure-difference", []),
        "sheet-procedure": ("manager", "procedure-document", [rows["released"].procedure_id]),
        "sheet-application": ("manager", "approval-request-form", [rows["review"].pk]),
        "sheet-work": ("operator", "runbook", [rows["review"].pk, "production"]),
        "sheet-contacts": ("manager", "contact-list", [rows["review"].pk]),
        "sheet-rollback": ("manager", "rollback-report", [rows["rollback"].pk]),
        "access": ("auditor", "access", []),
        "password": ("developer", "account_change_password", []),
        "second-factor": ("developer", "mfa_index", []),
        "programming-interface": ("developer", "api:openapi-view", []),
        "verb-plan": ("manager", "operation-new", ["release", "plan"]),
        "verb-request-access": ("developer", "operation-new", ["access", "request"]),
        "verb-appoint": ("committee_a", "operation-new", ["delegation", "request"]),
        "verb-meeting": ("manager", "operation-new", ["meeting", "record"]),
        "timeline": ("auditor", "timeline", []),
        "event": ("auditor", "event", [300]),
        "as-of": ("auditor", "as-of", []),
        "access-report": ("auditor", "access-report", []),
        "audit-tests": ("auditor", "audit-tests", []),
        "audit-test": ("auditor", "audit-test", ["approval-after-start"]),
        "sampling": ("auditor", "sampling", []),
        "ledger-export": ("auditor", "ledger-export", []),
        "retention": ("auditor", "retention", []),
        "published": ("developer", "published", [rows["released"].number, "release_notes"]),
        "queues": ("operator", "queues", []),
        "procedure": ("manager", "admin:releases_procedure_change", [rows["released"].procedure_id]),
        "environment": ("manager", "admin:environments_environment_change", [rows["running"].environment_id]),
        "application": ("manager", "admin:environments_application_change", [rows["application"].pk]),
    }
    lists = (
        "environments_environment",
        "environments_configurationversion",
        "environments_accessgrant",
        "environments_changewindow",
        "environments_changefreeze",
        "environments_holiday",
        "environments_token",
        "environments_delegation",
        "releases_release",
        "releases_deployment",
        "releases_evidence",
        "releases_followup",
        "releases_waiver",
        "releases_committeemeeting",
        "releases_deployedversion",
        "audit_checkpoint",
    )
    found = {name: (who, reverse(view, args=given)) for name, (who, view, given) in own.items()}
    found |= {
        name: (who, reverse("operation", args=[noun, does, row.pk])) for name, (who, noun, does, row) in verb.items()
    }
    found |= {f"list-{name.split('_')[1]}": ("operator", reverse(f"admin:{name}_changelist")) for name in lists}
    found["find"] = ("manager", reverse("find") + "?q=1.3.0")
    found["calendar-week"] = ("manager", reverse("calendar") + f"?week={rows['review'].scheduled_start_at:%Y-%m-%d}")
    configuration = rows["application"].configurations.first()
    found["configuration"] = (
        "operator",
        reverse("admin:environments_configurationversion_change", args=[configuration.pk]),
    )
    return found


def look_at(shown: dict[str, tuple[str, str]], look: str, person: Callable[..., Person], folder: Path) -> list[str]:
    """Take a picture of each page; return what is not sound."""
    folder.mkdir(parents=True, exist_ok=True)
    people: dict[str, Person] = {}
    wrong: list[str] = []
    for name, (who, address) in shown.items():
        reader = people.get(who) or people.setdefault(who, person(who, signed_in=bool(who), **LOOKS[look]))
        status = reader.go(address).status
        if status != (403 if name == "verb-refused" else 200):
            wrong.append(f"{name}: {status}")
        if over := reader.wider_than_the_screen:
            wrong.append(f"{name}: wider than the screen: {over}")
        if not LOOKS[look].get("phone") and reader.page.evaluate(SQUEEZED):
            wrong.append(f"{name}: narrower than a desk allows")
        if LOOKS[look].get("phone") and reader.page.evaluate(CUT):
            wrong.append(f"{name}: its rows are cut at the edge of the phone")
        if look == "ja-light" and name not in TECHNICAL and (left := latin_words(reader.page)):
            wrong.append(f"{name}: not translated: {left}")
        reader.page.screenshot(path=folder / f"{name}.png", full_page=True)
    expected = "status of 403"
    for reader in people.values():
        wrong += [f"console: {heard}" for heard in reader.complaints if expected not in heard]
    return wrong


# The pages of procedure and definition show the keys of files beside the labels, the application sheet the commands
# that run, and the state of the installation variables, programs and what these say of themselves.
TECHNICAL = (
    "procedure",
    "sheet-application",
    "doctor",
    "definition",
    "definition-auditor",
    "verb-definition",
    "verb-token",
)


@pytest.mark.timeout(280)
@pytest.mark.parametrize("look", LOOKS)
def test_every_page_is_sound_and_gets_its_picture(
    look: str, seeded: dict[str, Any], person: Callable[..., Person]
) -> None:
    """It answers 200 without an error in the console, nothing reaches over the screen, and Japanese is Japanese."""
    for old in (PICTURES / look).glob("*.png"):
        old.unlink()
    shown = {"sign-in": ("", reverse("account_login")), **pages(seeded)}
    wrong = look_at(shown, look, person, PICTURES / look)
    assert not wrong, "\n".join(wrong)


@pytest.mark.timeout(280)
@pytest.mark.parametrize("look", LOOKS)
def test_every_page_of_the_ledger_is_sound_and_gets_its_picture(
    look: str, seeded: dict[str, Any], acting_as: Callable[..., Any], person: Callable[..., Person], tmp_path: Path
) -> None:
    """The same of the ledger's own operations and of what auditors ask it."""
    shown = ledger_pages({**seeded, **ledger_rows(acting_as, tmp_path / "ledger_signer")})
    wrong = look_at(shown, look, person, PICTURES / "ledger" / look)
    assert not wrong, "\n".join(wrong)
