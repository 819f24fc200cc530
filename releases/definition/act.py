"""One change of a plan, and what makes one."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from environments.difference import changes
from releases.definition.system import System
from releases.procedures.compare import changed
from releases.queries.definition_files import Address

Values = Mapping[str, Any]
Run = Callable[[str], Any]
# Drafts of long documents, whose approval shows each row.
DOCUMENTS = ("procedure", "process")


@dataclass(frozen=True)
class Act:
    """One change. event: the operation. before, after: values as JSON; None where there are none. awaits: the row that
    waits for somebody else. why: what is in the way. run: does it for a reason, where nothing is in the way.
    """

    address: Address
    event: str
    before: Values | None
    after: Values | None
    run: Run | None = None
    why: str = ""
    awaits: Any = None

    @property
    def differences(self) -> list[tuple[str, str, str]]:
        """Return (place, text before, text after) of each value that differs."""
        before, after = self.before or {}, self.after or {}
        if self.address[0] in DOCUMENTS:
            rows = changed(before, after)
            return [(" › ".join(place), left or "—", right or "—") for place, (left, right) in rows.items()]
        return changes(before, after)

    @property
    def key(self) -> str:
        """Return what stands for the act and all that it would write."""
        content = [list(self.address), self.event, self.before, self.after]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]

    @property
    def name(self) -> str:
        """Return the address without its kind, as people read it."""
        return " · ".join(part for part in self.address[1:] if part)


def act(
    address: Address,
    event: str,
    before: Values | None,
    after: Values | None,
    run: Run | None,
    why: str = "",
    awaits: Any = None,
) -> Act:
    """Return an act, which can be done where nothing is in the way."""
    return Act(address, event, before, after, None if why or awaits else run, why, awaits)


def absent(system: System, *addresses: Address) -> str:
    """Return why an act cannot be done yet; empty where all that it names is there and in use."""
    for address in addresses:
        row = system.row(*address)
        if address[-1] and (row is None or getattr(row, "retired", False)):
            return _("“%(name)s” does not exist yet, or is retired.") % {"name": address[-1]}
    return ""
