"""What may be waived for a release, or under a procedure: gates, late milestones, an announcement that failed."""

from releases.gates.base import procedure_of
from releases.gates.evaluation import WAIVABLE
from releases.models import Release
from releases.models.waiver import NOTIFICATIONS_SENT, NOTIFICATIONS_SENT_WAIVER
from releases.procedures.document import Procedure as Content

MILESTONE = "milestone:"


def waivable(release: Release) -> list[tuple[str, str, str]]:
    """Return (key, Japanese, English) of everything that may be waived for a release: gates, late milestones, and
    an announcement that did not reach everybody.
    """
    return waivable_in(procedure_of(release))


def waivable_in(content: Content) -> list[tuple[str, str, str]]:
    """Return the same of a procedure."""
    # A freeze can be waived too, by the same exception that its gate reads: never a full freeze.
    gates = [
        (gate.key, gate.ja, gate.en) for gate in content.gates if gate.type in WAIVABLE or gate.type == "change_freeze"
    ]
    dates = [(MILESTONE + m.key, m.ja, m.en) for m in content.milestones if m.guards != "start"]
    return (
        gates
        + dates
        + [
            (NOTIFICATIONS_SENT_WAIVER, item.ja, item.en)
            for item in content.final_check.items
            if item.key == NOTIFICATIONS_SENT
        ]
    )
