"""Is there a granted round about exactly this content, in force now?"""

from __future__ import annotations

from releases.gates import quorum
from releases.gates.base import Answer, Question, failed, passed
from releases.gates.content import clause_labels, difference, digest, document
from releases.procedures.parts import Gate
from releases.steps.words import gettext as _


def ask(question: Question, gate: Gate) -> Answer:
    """Compare the granted round's digest with that of the content as it is now."""
    release, environment = question.release, question.environment
    rows = {row.state: row for row in release.rounds.all() if row.environment_id == environment.pk}
    round_, used = rows.get("granted"), "consumed" in rows
    if round_ is None:
        reason = _("The consent has been used; a new one is needed.") if used else _("There is no granted consent.")
        return failed(gate, reason, "approvals")
    if unknown := quorum.unknown_authors(release):
        text = _("Nobody is known by the git address %(addresses)s; enter it at the account.")
        return failed(gate, text % {"addresses": ", ".join(unknown)}, "approvals")
    present = document(release, environment)
    if digest(present) != round_.digest:
        key = difference(round_.document, present)
        return failed(
            gate,
            _("The consent is stale: “%(key)s” has changed.") % {"key": clause_labels().get(key, key)},
            "approvals",
        )
    if round_.window_end is not None and question.at >= round_.window_end:
        return failed(gate, _("The consent has expired with its window."), "approvals")
    return passed(gate, round_.digest[:12], "approvals")
