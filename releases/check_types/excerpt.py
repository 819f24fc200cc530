"""Cuts the output of a target's programs and pages down to the kept proof, without secrets; called by checks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from environments.targets.masking import masked, passwords_in
from environments.targets.runner import Outcome, run_on

if TYPE_CHECKING:
    from releases.check_types.base import CheckContext

MOST_LINES = 20
LONGEST_LINE = 300
SECRET_KEY = re.compile(r"SECRET|PASSWORD|PASSWD|TOKEN|PRIVATE|CREDENTIAL|(^|_)KEY$", re.IGNORECASE)


def excerpt(lines: Iterable[str], context: CheckContext) -> str:
    """Return the first lines, each cut, with the secrets of the configuration and of the context masked."""
    secrets = _secrets_of(context)
    # Masked before the cut: half a secret would no longer be found.
    kept = [masked(line, secrets) for _place, line in zip(range(MOST_LINES), lines, strict=False)]
    return "\n".join(line[:LONGEST_LINE] for line in kept)


def _secrets_of(context: CheckContext) -> set[str]:
    secrets = {value for key, value in context.configuration.items() if SECRET_KEY.search(key)}
    return secrets | passwords_in(context.configuration.values()) | set(context.secrets)


def run_program(context: CheckContext, argv: Sequence[str], seconds: float) -> Outcome:
    """Run a program of the target and return its outcome, masked; seconds: deadline. Raises StepFailed as run_on
    does.
    """
    return run_on(context.target, argv, seconds=seconds, secrets=_secrets_of(context))
