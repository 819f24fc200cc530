"""Is the tag what it should be, and is the commit on a branch that the environment accepts? (R1, V3)"""

from __future__ import annotations

from django.conf import settings
from django.utils.translation import gettext as _

from releases.gates.base import Answer, Question, failed, fresh_fact, passed, unknown
from releases.procedures.parts import Gate
from releases.sources import git


def tag(question: Question, gate: Gate) -> Answer:
    """The tag carries version, date and changes, is signed by a known key, and still points where it pointed."""
    release = question.release
    fact = fresh_fact(question, "tag", settings.FACT_SECONDS)
    if fact is None:
        return unknown(gate, _("The tag has not been looked at within the last minute."), "evidence")
    seen = fact.value
    if "fault" in seen:
        return failed(gate, seen["fault"], "evidence")
    faults = [
        sentence
        for wrong, sentence in (
            (seen["name"] != release.tag, _("The tag has another name.")),
            (not seen["annotated"], _("The tag is not annotated.")),
            (not seen["signature_good"], _("The tag bears no good signature by a known key.")),
            (not seen["version_named"], _("The tag does not name the version.")),
            (not seen["date_named"], _("The tag does not name the date.")),
            (not seen["changes_named"], _("The tag does not name the changes.")),
            (seen["commit"] != release.commit, _("The tag points to another commit.")),
            (
                bool(release.tag_object) and seen["object_id"] != release.tag_object,
                _("The tag was moved after it was confirmed."),
            ),
        )
        if wrong
    ]
    return failed(gate, " ".join(faults), "evidence") if faults else passed(gate, seen["signer"], "evidence")


def branch(question: Question, gate: Gate) -> Answer:
    """The commit is reachable from a head that the environment accepts."""
    fact = fresh_fact(question, "heads", settings.FACT_SECONDS)
    if fact is None:
        return unknown(gate, _("The branches have not been looked at within the last minute."), "evidence")
    if isinstance(fact.value, dict):
        return failed(gate, fact.value["fault"], "evidence")
    patterns = question.procedure.accepted_patterns(question.environment.slug, emergency=question.emergency)
    heads = [head for head in fact.value if git.head_accepts([head], patterns)]
    if not heads:
        text = _("The commit is on no branch that this environment accepts (%(patterns)s).")
        return failed(gate, text % {"patterns": ", ".join(patterns)}, "evidence")
    return passed(gate, ", ".join(heads), "evidence")
