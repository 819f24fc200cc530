"""Cuts what a target's programs and pages said down to what is kept as proof, without secrets; called by checks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from environments.targets.masking import masked, passwords_in
from environments.targets.runner import Outcome, run_on

if TYPE_CHECKING:
    from releases.check_types.base import CheckContext

MOST_LINES = 20
LONGEST_LINE = 300
SECRET_KEY = re.compile(r"SECRET|PASSWORD|PASSWD|TOKEN|PRIVATE|CREDENTIAL|(^|_)KEY$", re.IGNORECASE)


def excerpt(lines: Iterable[str], configuration: Mapping[str, str], hidden: Iterable[str] = ()) -> str:
    """Return the first lines, each cut, with the secrets of the configuration and the `hidden` ones masked."""
    secrets = {*hidden} | secrets_in(configuration)
    # Masked before it is cut: half a secret would no longer be found.
    kept = [masked(line, secrets) for _place, line in zip(range(MOST_LINES), lines, strict=False)]
    return "\n".join(line[:LONGEST_LINE] for line in kept)


def secrets_in(configuration: Mapping[str, str]) -> set[str]:
    """Return the values of a configuration that no output may show."""
    secrets = {value for key, value in configuration.items() if SECRET_KEY.search(key)}
    return secrets | passwords_in(configuration.values())


def run_program(context: CheckContext, argv: Sequence[str], seconds: float) -> Outcome:
    """Run a program of the target and return its outcome, masked; seconds: deadline. Raises StepFailed as run_on does."""
    secrets = secrets_in(context.configuration) | set(context.secrets)
    return run_on(context.target, argv, seconds=seconds, secrets=secrets)
