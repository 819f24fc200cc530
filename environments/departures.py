"""What must still be possible once people have lost roles: asked inside each operation that takes them away, before it does."""

from collections.abc import Callable, Collection

from audit.operation import Operation

Question = Callable[[Operation, Collection[int], bool], None]
_asked: list[Question] = []


def ask_of_departures(question: Question) -> None:
    """Have `question(act, grants, refuses)` called before grants end; it raises an OperationRefused. Apps call it at start."""
    if question not in _asked:
        _asked.append(question)


def leaving(op: Operation, grants: Collection[int], *, refuses: bool) -> None:
    """Ask whether these grants may end, inside an open operation. refuses: the operation can be refused; else it only warns."""
    for question in _asked:
        question(op, grants, refuses)
