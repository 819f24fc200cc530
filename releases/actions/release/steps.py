"""The step plan of a release, made from the procedure and frozen on it: the way out, its checks, the way back."""

from __future__ import annotations

from typing import Any

from releases.procedures import parts
from releases.procedures.document import Procedure as Content

CHECK_SECONDS = 5


def step_plan(content: Content) -> dict[str, list[dict[str, Any]]]:
    """Return phase → steps (kind, parameters, label_ja, label_en, required, estimate_seconds), in order.

    A check is a step of kind `check`; one that only a person can make is left to whoever verifies the run.
    """
    return {
        "forward": [_step(step) for step in content.plans.forward],
        "verify": [
            *_checks(content, "deployment", "inside"),
            *(_step(step) for step in content.plans.forward_after),
            *_checks(content, "deployment", "outside"),
        ],
        "back": [_step(step) for step in (*content.plans.back_before, *content.plans.back)],
        "back_verify": [
            *_checks(content, "rollback", "inside"),
            *(_step(step) for step in content.plans.back_after),
            *_checks(content, "rollback", "outside"),
        ],
    }


def manual_checks(content: Content, when: str) -> list[parts.Check]:
    """Return the checks that the verifying person confirms by signature."""
    return [check for check in content.checks if check.when == when and check.kind == "manual"]


def _step(step: parts.Step) -> dict[str, Any]:
    return {
        "kind": step.kind,
        "parameters": step.parameters,
        "label_ja": step.ja,
        "label_en": step.en,
        "required": step.required,
        "estimate_seconds": step.estimate_seconds,
    }


def _checks(content: Content, when: str, place: str) -> list[dict[str, Any]]:
    return [
        {
            "kind": "check",
            "parameters": {"check": check.kind, "parameters": check.parameters},
            "label_ja": check.ja,
            "label_en": check.en,
            "required": check.required,
            "estimate_seconds": CHECK_SECONDS,
        }
        for check in content.checks
        if check.when == when and check.place == place and check.kind != "manual"
    ]
