"""Causes of rollbacks, in words: those that the procedure names, and those of the system.

An alarm keeps its cause as a key: of a trigger that fired, of a reason that a person chose, or one of OWN.
"""

from django.utils.functional import Promise
from django.utils.translation import get_language, gettext as _, gettext_lazy

from releases.models import Rollback, Step
from releases.procedures.document import Procedure as Content

# A decision request got no response, and a rollback was agreed for that case.
NO_RESPONSE = "no_response"
# A required step of the production deployment, or a check of its verification, has failed.
FAILED_STEP, FAILED_CHECK = "failed_step", "failed_check"
FAILURES = (FAILED_STEP, FAILED_CHECK)
# A rehearsal; never in production.
REHEARSAL = "rehearsal"
OWN: dict[str, str | Promise] = {
    NO_RESPONSE: gettext_lazy("No one responded in time"),
    FAILED_STEP: gettext_lazy("A step of the deployment failed"),
    FAILED_CHECK: gettext_lazy("The verification failed"),
    REHEARSAL: gettext_lazy("Rollback rehearsal"),
}


def words_of(content: Content | None) -> dict[str, str]:
    """Return key of a cause → its words in the reader's language."""
    language = get_language() or "ja"
    named = [*content.triggers, *content.rollback.reasons] if content is not None else []
    return {key: str(words) for key, words in OWN.items()} | {entry.key: entry.label(language) for entry in named}


def cause_of(rollback: Rollback) -> str:
    """Return the cause of a rollback in the reader's language, as the procedure of its deployment says it."""
    return words_of(rollback.deployment.content).get(rollback.cause, rollback.cause)


def seen_of(rollback: Rollback) -> str:
    """Return the observation: a process's in the reader's language, and a person's note as it was written."""
    trigger = rollback.facts.get("trigger", {})
    if trigger.get("key") == rollback.cause:
        return _("%(k)d of %(n)d measurements at or over the limit") % {"k": trigger["k"], "n": trigger["n"]}
    if rollback.cause == NO_RESPONSE and rollback.raised_by_id is None:
        return _("No one responded in time, so the deployment is rolled back as approved.")
    if rollback.cause in FAILURES:
        return _("This step failed: %(step)s") % {"step": Step.objects.get(pk=rollback.facts["failed_step"])}
    return rollback.note


def raiser_of(rollback: Rollback) -> str:
    """Return who raised an alarm, in words: a person, the monitoring, or a decision request without response."""
    if rollback.raised_by is not None:
        return str(rollback.raised_by)
    if rollback.cause in FAILURES:
        return _("the failure of a step")
    return (
        _("a decision request without a response in time")
        if rollback.cause == NO_RESPONSE
        else _("post-deployment monitoring")
    )
