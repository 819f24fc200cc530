"""One change of a plan, and what makes one."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import rfc8785
from django.utils.translation import gettext as _

from releases.definition.system import System
from releases.procedures.compare import changed
from releases.queries.definition_files import Address

Values = Mapping[str, Any]
Run = Callable[[str], Any]


@dataclass(frozen=True)
class Act:
    """One change. event: the operation. differences: place → (before, after), as texts. awaits: the row that waits for
    somebody else. why: what is in the way. run: does it for a reason, where nothing is in the way.
    """

    address: Address
    event: str
    differences: Mapping[tuple[str, ...], tuple[str, str]]
    run: Run | None = None
    why: str = ""
    awaits: Any = None

    @property
    def key(self) -> str:
        """Return what stands for the act and its content on a page."""
        shown = [[*place, *pair] for place, pair in self.differences.items()]
        return hashlib.sha256(rfc8785.dumps([list(self.address), self.event, shown])).hexdigest()[:32]

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
    """Return an act with the differences of two values."""
    differences = changed(before or {}, after or {})
    return Act(address, event, differences, None if why or awaits else run, why, awaits)


def absent(system: System, *addresses: Address) -> str:
    """Return why an act cannot be done yet; empty where all that it names is there and in use."""
    for address in addresses:
        row = system.row(*address)
        if address[-1] and (row is None or getattr(row, "retired", False)):
            return _("“%(name)s” does not exist yet, or is retired.") % {"name": address[-1]}
    return ""
