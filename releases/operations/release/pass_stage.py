"""release:pass_stage: a stage for which the procedure asks nothing passes by itself; called by the scheduler."""

from functools import partial

from django.db.models import Q

from audit.clock import now
from audit.operation import operation
from audit.refusals import NotPossible
from releases.gates.base import Known, final_check_of
from releases.models import Release
from releases.operations.poll.retry_limit import with_retry_limit
from releases.operations.release.prepare import done_milestone, final_check_done, held_by, require_in_time
from releases.operations.release.readiness import TESTING

# State → the edge that leaves it by itself.
VERBS = {"scope_locked": "complete_testing", "approved": "complete_final_check"}


def pass_stages() -> None:
    """Take each release over the stages after locking of the scope and after approval that ask nothing."""
    bound = ~Q(kind=Release.Kind.PRE_RELEASE)
    for release in Release.objects.filter(bound, state__in=["scope_locked", "approved"]).select_related("procedure"):
        if asks_nothing(release) and not held_by(release, VERBS[release.state], now()):
            with_retry_limit("stage", release, partial(pass_stage, release.pk))


def pass_stage(release_id: int) -> Release:
    """Take a release over one stage. Raises NotPossible where the procedure asks something."""
    with operation("release:pass_stage", (Release, release_id)) as op:
        release = op.get(Release)
        if release.state not in ("scope_locked", "approved") or not asks_nothing(release):
            raise NotPossible("the procedure asks something at this stage")
        require_in_time(release, VERBS[release.state])
        if release.state == "scope_locked":
            release.complete_testing()
            done_milestone(release, "complete_testing", None)
        else:
            final_check_done(release, None)
    return release


def asks_nothing(release: Release) -> bool:
    """Tell whether the procedure asks for no signature, and no gate, before the next stage of a release."""
    assert release.procedure is not None
    if release.state == "approved":
        return not final_check_of(release).signers
    gates = Known(release).asked(release.destinations[0]) if release.destinations else []
    return not any(gate.type in TESTING for gate in gates)
