"""Runs an argument list on the target for a check: in the target's folder, with every secret of the run masked."""

from __future__ import annotations

from collections.abc import Sequence

from releases.checks.base import CheckContext
from releases.checks.excerpt import secrets_in
from releases.steps.runner import Outcome, base_environment, run_command


def run_program(context: CheckContext, argv: Sequence[str], seconds: float) -> Outcome:
    """Return the outcome with masked text; seconds: deadline. Raises StepFailed as run_command does."""
    root = context.target.root
    return run_command(
        argv,
        environment=base_environment({"RINGI_TARGET_ROOT": str(root)}),
        folder=root,
        seconds=seconds,
        secrets=secrets_in(context.configuration) | set(context.secrets),
    )
