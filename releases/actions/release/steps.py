"""What a procedure lays out for a release: its step plan (frozen on it), checklist and documents, and where it goes."""

from typing import Any

from django.utils.translation import get_language, gettext as _

from audit.refusals import Invalid
from environments.models import Environment
from releases.actions.release.facts import facts_of
from releases.letters import notes
from releases.models import ChecklistItem, Document, Release
from releases.procedures import parts
from releases.procedures.document import Procedure as Content

CHECK_SECONDS = 5
LIMITS = ("deadline_seconds", "no_output_timeout_seconds")


def step_plan(content: Content) -> dict[str, list[dict[str, Any]]]:
    """Return phase → steps (kind, parameters, label_ja, label_en, required, estimate_seconds), in order.

    A check is a step of kind `check`; one that only a person can make is left to whoever verifies the run.
    """
    return {
        "deployment": [_step(step) for step in content.plans.forward],
        "verification": [
            *_checks(content, "deployment", "inside"),
            *(_step(step) for step in content.plans.forward_after),
            *_checks(content, "deployment", "outside"),
        ],
        "rollback": [_step(step) for step in (*content.plans.back_before, *content.plans.back)],
        "rollback_verification": [
            *_checks(content, "rollback", "inside"),
            *(_step(step) for step in content.plans.back_after),
            *_checks(content, "rollback", "outside"),
        ],
    }


def lay_out(release: Release, content: Content) -> None:
    """Make the checklist and the first texts of the documents that a procedure asks for, inside an open door."""
    for item in content.checklist:
        ChecklistItem.objects.get_or_create(
            release=release, group=item.group, key=item.key, defaults={"label_ja": item.ja, "label_en": item.en}
        )
    for row in content.documents:
        Document.objects.get_or_create(release=release, kind=row.key, defaults={"body": drafted(release, row.key)})


def drafted(release: Release, kind: str) -> str:
    """Return a first text of a document, made from the facts of the release in the language of who acts."""
    language = "ja" if get_language() == "ja" else "en"
    makes = {Document.Kind.CHANGELOG: notes.changelog, Document.Kind.TECHNICAL: notes.technical}
    return makes.get(Document.Kind(kind), notes.release_notes)(facts_of(release, language), language)


def production_of(release: Release) -> Environment:
    """Return the protected environment that a release is bound for: the last of its targets' in order."""
    environment = (
        Environment.objects.filter(targets__application=release.application, tier="production").order_by("order").last()
    )
    if environment is None:
        raise Invalid(_("The application has no deployment target in production."))
    return environment


def manual_checks(content: Content, when: str) -> list[parts.Check]:
    """Return the checks that the verifying person confirms by signature."""
    return [check for check in content.checks if check.when == when and check.kind == "manual"]


def _step(step: parts.Step) -> dict[str, Any]:
    return {
        "step_type": step.kind,
        "parameters": step.parameters,
        "label_ja": step.ja,
        "label_en": step.en,
        "required": step.required,
        "estimate_seconds": step.estimate_seconds,
        **{name: limit for name in LIMITS if (limit := getattr(step, name)) is not None},
    }


def _checks(content: Content, when: str, place: str) -> list[dict[str, Any]]:
    return [
        {
            "step_type": "check",
            "parameters": {"check": check.kind, "parameters": check.parameters},
            "label_ja": check.ja,
            "label_en": check.en,
            "required": check.required,
            "estimate_seconds": CHECK_SECONDS,
        }
        for check in content.checks
        if check.when == when and check.place == place and check.kind != "manual"
    ]
