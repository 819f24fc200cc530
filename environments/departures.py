"""Checks before roles end: every operation that ends grants calls them, so that approvals remain possible."""

from collections.abc import Callable, Collection

from audit.operation import Operation

DepartureCheck = Callable[[Operation, Collection[int], bool], None]
_checks: list[DepartureCheck] = []


def add_departure_check(check: DepartureCheck) -> None:
    """Register `check(op, grants, refuses)`, called before grants end, which raises an OperationRefused. Apps call this
    at start.
    """
    if check not in _checks:
        _checks.append(check)


def check_departures(op: Operation, grants: Collection[int], *, refuses: bool) -> None:
    """Check whether these grants may end, inside an open operation. refuses: a check can refuse; else it only warns."""
    for check in _checks if grants else ():
        check(op, grants, refuses)
