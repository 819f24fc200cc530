"""Is there a granted round about exactly this content, in force now?"""

from releases.gates import authorship, quorum
from releases.gates.base import Answer, Question, failed, passed
from releases.gates.content import clause_labels, difference, digest, document
from releases.gates.evidence import worse_since
from releases.models import ConsentRound
from releases.procedures.parts import Gate
from releases.steps.words import gettext as _


def ask(question: Question, gate: Gate) -> Answer:
    """Compare the granted round with the content as it is now, and count its approvals anew: rows read now decide."""
    release, environment = question.release, question.environment
    rounds = ConsentRound.objects.filter(release=release, environment=environment, state__in=["granted", "consumed"])
    rows = {row.state: row for row in rounds}
    round_, used = rows.get("granted"), "consumed" in rows
    if round_ is None:
        reason = _("The consent has been used; a new one is needed.") if used else _("There is no granted consent.")
        return failed(gate, reason, "approvals")
    if unknown := authorship.unknown_authors(release):
        return failed(gate, " ".join(unknown), "approvals")
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
    if why := quorum.uncounted(round_, question.at):
        return failed(gate, why, "approvals")
    approved_at = max((word.at for word in round_.approvals.all()), default=round_.opened_at)
    if worse := worse_since(question.known, approved_at):
        text = _("Evidence that came after the approval is worse than what was approved: %(reports)s.")
        return failed(gate, text % {"reports": "; ".join(worse)}, "approvals")
    return passed(gate, round_.digest[:12], "approvals")
