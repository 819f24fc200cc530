"""What a procedure lays out for a release: its step plan (frozen on it), the checks of its verification, and where it
goes.
"""

from typing import Any

from django.utils.translation import gettext as _

from audit.refusals import InvalidInput
from environments.models import Environment
from releases.models import Release
from releases.procedures import parts
from releases.procedures.document import Procedure as Content
from releases.procedures.part import meant

CHECK_SECONDS = 5
LIMITS = ("deadline_seconds", "no_output_timeout_seconds")


def step_plan(content: Content, kind: str, risk: str) -> dict[str, list[dict[str, Any]]]:
    """Return phase → steps (step_type, parameters, label_ja, label_en, required, estimate_seconds), in order.

    kind, risk: type and risk class of the release that the steps are for; a class that is not known yet has all steps.

    A check is a step of kind `check`; a manual one is left to the verifier of the deployment.
    """
    plans = content.plans

    def steps(*rows: parts.Step) -> list[dict[str, Any]]:
        return [_step(step) for step in rows if meant(step.when, kind, risk)]

    return {
        "deployment": [*steps(*plans.deployment), *_checks(content, "batch", "during", "after")],
        "verification": [
            *_checks(content, "deployment", "during"),
            *steps(*plans.after_deployment),
            *_checks(content, "deployment", "after"),
        ],
        "rollback": steps(*plans.before_rollback, *plans.rollback),
        "rollback_verification": [
            *_checks(content, "rollback", "during"),
            *steps(*plans.after_rollback),
            *_checks(content, "rollback", "after"),
        ],
    }


def production_of(release: Release) -> Environment:
    """Return the environment of production that a release comes into first, at T-0."""
    if not release.destinations:
        raise InvalidInput(_("The application has no deployment target in production."))
    return release.destinations[0]


def manual_checks(content: Content, when: str) -> list[parts.Check]:
    """Return the checks that the verifying person confirms by signature."""
    return [check for check in content.checks if check.when == when and check.type == "manual"]


def _step(step: parts.Step) -> dict[str, Any]:
    return {
        "step_type": step.type,
        "parameters": step.parameters,
        "label_ja": step.ja,
        "label_en": step.en,
        "required": step.required,
        "estimate_seconds": step.estimate_seconds,
        **{name: limit for name in LIMITS if (limit := getattr(step, name)) is not None},
        **({"on": step.on} if step.on else {}),
    }


def _checks(content: Content, when: str, *maintenance: str) -> list[dict[str, Any]]:
    return [
        {
            "step_type": "check",
            "parameters": {"check": check.type, "parameters": check.parameters},
            "label_ja": check.ja,
            "label_en": check.en,
            "required": check.required,
            "estimate_seconds": CHECK_SECONDS,
            **({"on": check.on} if check.on else {}),
        }
        for check in content.checks
        if check.when == when and check.maintenance in maintenance and check.type != "manual"
    ]
