"""Which processes may cause which operation: operation_roles.toml as PostgreSQL enforces it (`ringi_write` asks its
table).

`audit.roles.grant` fills the table with each migration, and `audit_verify` compares it. An operation that is not
declared is refused.
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

Operations = Mapping[str, Iterable[str]]
_DECLARED = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
OPERATIONS: dict[str, tuple[str, ...]] = {
    f"{noun}:{verb}": tuple(processes) for noun, verbs in _DECLARED.items() for verb, processes in verbs.items()
}
