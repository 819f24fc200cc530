"""What must still be possible once people have lost roles: asked inside each operation that takes them away, before it does."""

from collections.abc import Callable, Collection

from audit.operation import Operation

DepartureCheck = Callable[[Operation, Collection[int], bool], None]
_asked: list[DepartureCheck] = []


def ask_of_departures(check: DepartureCheck) -> None:
    """Have `question(act, grants, refuses)` called before grants end; it raises an OperationRefused. Apps call it at start."""
    if check not in _asked:
        _asked.append(check)


def leaving(op: Operation, grants: Collection[int], *, refuses: bool) -> None:
    """Ask whether these grants may end, inside an open operation. refuses: the operation can be refused; else it only warns."""
    for check in _asked:
        check(op, grants, refuses)
