"""What a definition would change in the system: one act a change, each an operation that pages have too."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta

from audit.clock import now
from environments.times import office_day
from releases.definition import of_applications, of_lists, of_versions
from releases.definition.act import Act, Values
from releases.definition.system import System, read
from releases.queries import definition_files as files
from releases.queries.definition_files import BESIDE, Address, Definition

# The order in which acts are done; what is taken away comes last, in the opposite order.
KINDS: Mapping[str, Callable[[System, Address, Values | None, Values | None], Iterator[Act]]] = {
    "application": of_applications.application,
    "signers": of_applications.of_application,
    "documents": of_applications.of_application,
    "forge": of_applications.of_application,
    "target": of_applications.target,
    "holiday": of_lists.holiday,
    "freeze": of_lists.freeze,
    "group_role": of_lists.group_role,
    "recipient": of_lists.recipient,
}
OF_APPLICATION = ("signers", "documents", "forge")
ORDER = ("procedure", *KINDS, "process")


def plan(wanted: Definition, system: System) -> list[Act]:
    """Return what would make the system what a definition says, in the order in which it can be done."""
    present, then = system.definition.resources(), wanted.resources()
    managed, acts = wanted.kinds(), list[Act]()
    for address in sorted({*present, *then}, key=lambda address: (ORDER.index(address[0]), address)):
        before, after = present.get(address), then.get(address)
        if (after is None and address[0] not in managed) or _over(address, after):
            continue
        if after is None and address[0] in OF_APPLICATION and ("application", address[1]) not in then:
            continue  # it goes with the application
        if _compared(before) != _compared(after):
            acts += KINDS[address[0]](system, address, before, after)
    acts += [act for key, text in wanted.processes.items() for act in of_versions.process(system, wanted, key, text)]
    acts += [act for key in wanted.procedures for act in of_versions.procedure(system, wanted, key)]
    places = {kind: place for place, kind in enumerate(ORDER)}
    return sorted(acts, key=lambda act: _gone(act) and 100 - places[act.address[0]] or places[act.address[0]])


def still(act: Act, wanted: Definition) -> bool:
    """Tell whether a plan for the system as it is now has the very same act. One that overwrites nothing is not read
    again, nor a draft, which takes effect by its own approval.
    """
    if act.before is None or act.address[0] not in KINDS:
        return True
    system = read()
    before, after = system.definition.resources().get(act.address), wanted.resources().get(act.address)
    return act.key in {one.key for one in KINDS[act.address[0]](system, act.address, before, after)}


def _gone(act: Act) -> bool:
    return act.event.endswith((":retire", ":remove", ":lift", ":end"))


def _compared(values: Values | None) -> Values | None:
    return None if values is None else {name: value for name, value in values.items() if name not in BESIDE}


def _over(address: Address, after: Values | None) -> bool:
    """Tell whether a folder still names a day or a freeze that is over."""
    today = office_day(now())
    if address[0] == "holiday":
        return address[1] < today.isoformat()
    if address[0] != "freeze" or after is None:
        return False
    row = files.Freeze.model_validate(after)
    return row.ends <= now() if row.ends is not None else bool(row.last_day and row.last_day + timedelta(2) < today)
