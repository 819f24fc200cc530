"""The gates of the source: the tag, the commit's branch, and that branch's protection (R1, V2, V3)."""

from typing import Any

from django.conf import settings
from django.utils.translation import get_language

from environments.language import listed
from environments.targets.words import gettext as _
from releases.gates import evidence
from releases.gates.base import Answer, GateContext, not_passed, passed, unknown
from releases.models import Release
from releases.procedures.document import Procedure as Content
from releases.procedures.parts import Gate
from releases.sources import git, versions


def tag(context: GateContext, gate: Gate) -> Answer:
    """The tag carries version, date and changes, is signed by a known key, and still points where it pointed."""
    release = context.release
    fact = context.known.fresh("tag", settings.FACT_MAX_AGE)
    if fact is None:
        return unknown(gate, _("The tag has not been checked within the last minute. Refresh from Git."), "evidence")
    seen = fact.value
    if "fault" in seen:
        return not_passed(gate, _unseen(release, seen), "evidence")
    faults = tag_faults(release, seen)
    return not_passed(gate, " ".join(faults), "evidence") if faults else passed(gate, seen["signer"], "evidence")


def _unseen(release: Release, seen: dict[str, Any]) -> str:
    """Return why there is no observed tag, in the reader's language where the text is Ringi's."""
    if not seen.get("missing"):
        return str(seen["fault"])
    if release.tag_object:
        return _("The tag was removed after it was confirmed.")
    return _("There is no tag %(tag)s.") % {"tag": release.tag}


def tag_faults(release: Release, seen: dict[str, Any]) -> list[str]:
    """Return everything that is wrong with a tag as it was seen, a sentence each; empty when nothing is."""
    wanted = release.application.tag_format.replace(versions.PLACE, release.version)
    return [
        message
        for wrong, message in (
            (seen["name"] != release.tag, _("The tag has another name.")),
            (release.tag != wanted, _("The tag of this version is called %(tag)s.") % {"tag": wanted}),
            (not seen["annotated"], _("The tag is not annotated.")),
            (seen["annotated"] and not seen["signed"], _("The tag is not signed.")),
            (seen["signed"] and not seen["signature_good"], _("The tag has no valid signature by an allowed signer.")),
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


def branch(context: GateContext, gate: Gate) -> Answer:
    """The commit is on the branch that the release names and reachable from a head that the environment accepts."""
    release = context.release
    fact = context.known.fresh("heads", settings.FACT_MAX_AGE)
    if fact is None:
        return unknown(gate, _("The branches have not been refreshed from Git within the last minute."), "evidence")
    if isinstance(fact.value, dict):
        return not_passed(gate, fact.value["fault"], "evidence")
    patterns = context.procedure.accepted_patterns(context.environment.slug, emergency=context.emergency)
    heads = [head for head in fact.value if git.head_accepts([head], patterns)]
    if not heads:
        text = _("The commit is on no branch that this environment accepts (%(patterns)s).")
        return not_passed(gate, text % {"patterns": ", ".join(patterns)}, "evidence")
    if wrong := wrong_branch(release.kind, release.branch, context.procedure):
        return not_passed(gate, wrong, "evidence")
    if release.branch not in fact.value:
        # Merged and deleted is the usual end of a branch; one that is still there must hold the commit.
        named = context.known.fresh("branch", settings.FACT_MAX_AGE)
        if named is None or named.value.get("name") != release.branch:
            return unknown(gate, _("The branches have not been refreshed from Git within the last minute."), "evidence")
        if named.value["there"]:
            return not_passed(gate, not_on(release.branch), "evidence")
    return passed(gate, ", ".join(heads), "evidence")


def protection(context: GateContext, gate: Gate) -> Answer:
    """The requirements of the tier's protected branches on a commit: review, tests and signature (V2).

    Where another gate of the tier requires review or tests already, it answers for them, with its waivers.
    """
    asked = [row for row in context.known.asked(context.environment) if row.type == "evidence"]
    kinds = {"review": "review", "tests": "junit"}
    found = []
    for row in context.procedure.protected_branches:
        for wanted in row.requires if row.tier == context.environment.tier else ():
            if wanted.key == "signature":
                found.append(_signed(context, gate, wanted.label(get_language() or "ja")))
            elif kinds[wanted.key] not in {other.evidence for other in asked}:
                found.append(evidence.ask(context, gate.model_copy(update={"evidence": kinds[wanted.key]})))
    wrong = [answer for answer in found if not answer.passes]
    if not wrong:
        return passed(gate, listed(filter(None, (answer.reason for answer in found))), "evidence")
    say = not_passed if any(answer.result == "not_passed" for answer in wrong) else unknown
    return say(gate, " ".join(answer.reason for answer in wrong), "evidence")


def _signed(context: GateContext, gate: Gate, label: str) -> Answer:
    """The commit itself bears a good signature by a known key, or the release's tag that names this commit does."""
    seconds, release = settings.FACT_MAX_AGE, context.release
    seen = {kind: context.known.fresh(kind, seconds) for kind in ("tag", "signature")}
    if seen["tag"] is None or seen["signature"] is None:
        return unknown(gate, _("The signatures have not been refreshed from Git within the last minute."))
    tag_, commit = seen["tag"].value, seen["signature"].value
    if "fault" in commit:
        return not_passed(gate, str(commit["fault"]))
    if commit["good"]:
        return passed(gate, _("%(label)s: commit, %(who)s") % {"label": label, "who": commit["signer"]})
    if tag_.get("signature_good") and tag_["commit"] == release.commit:
        return passed(gate, _("%(label)s: tag, %(who)s") % {"label": label, "who": tag_["signer"]})
    text = _(
        "Neither the commit nor the release tag that points to it has a valid signature by an allowed signer "
        "(%(label)s)."
    )
    return not_passed(gate, text % {"label": label})


def not_on(name: str) -> str:
    """Return the sentence for a commit that its branch does not hold."""
    return _("The branch %(branch)s does not hold the commit.") % {"branch": name}


def branches_for(kind: str, procedure: Content) -> tuple[str, ...]:
    """Return the patterns of branches that a type of release may come from, by the workflows of the procedure.

    An emergency comes from what production takes in an emergency only, a pre-release from everything that any
    environment takes, and a regular release from all of that but the emergencies' branches: how far it gets with
    its branch is each environment's own question.
    """
    workflows = {row.key: row.pattern for row in procedure.workflows}
    rows = procedure.accepted_branches
    hotfix = [pattern for row in rows for pattern in row.emergency_patterns if pattern not in row.patterns]
    urgent = [*hotfix, *([workflows["hotfix"]] if "hotfix" in workflows else [])]
    wanted = [pattern for row in procedure.accepted_branches for pattern in (*row.patterns, *row.emergency_patterns)]
    if kind == Release.Kind.EMERGENCY:
        wanted = urgent
    elif kind in (Release.Kind.REGULAR, Release.Kind.STANDARD):
        wanted = [pattern for pattern in wanted if pattern not in urgent]
    return tuple(dict.fromkeys(wanted))


def wrong_branch(kind: str, name: str, procedure: Content) -> str:
    """Return why a branch does not fit the type of a release, empty when it does."""
    patterns = branches_for(kind, procedure)
    if git.head_accepts([name], patterns):
        return ""
    named = {"branch": name or "—", "patterns": ", ".join(patterns)}
    if kind == Release.Kind.EMERGENCY:
        return _("An emergency release comes from a branch %(patterns)s, not from %(branch)s.") % named
    if kind in (Release.Kind.REGULAR, Release.Kind.STANDARD):
        return _("A regular release comes from a branch %(patterns)s, not from %(branch)s.") % named
    return _("A pre-release comes from a branch %(patterns)s, not from %(branch)s.") % named
