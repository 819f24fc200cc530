"""A signed statement that a deployment has its approval now, which a job verifies offline before it deploys.

The form is an in-toto statement (in-toto.io/Statement/v1) in a DSSE envelope, signed by the application's own key.
"""

from datetime import timedelta
from typing import Any

import rfc8785

from audit.clock import now
from audit.refusals import GateNotPassed, NotPermitted, NotPossible
from environments.models import Account
from environments.targets.words import gettext as _
from releases.gates import emergency_stop
from releases.models import Deployment, Step
from releases.operations.step.report import waiting_step, why_not_permitted
from releases.queries.step_waves import BACK
from releases.reporting.evidence_pack.pack import signer

PAYLOAD = "application/vnd.in-toto+json"
APPROVAL = "urn:ringi:approval:v1"
MINUTES = 15


def approval_statement(deployment: Deployment, account: Account) -> bytes:
    """Return the envelope for the pipeline that a deployment waits for; valid for MINUTES, at most as long as the step
    waits.

    Raises NotPossible where no step waits or there is no version to deploy, NotPermitted for an account that may not
    report for the step, GateNotPassed while an emergency stop ends or pauses deployments there; a rollback goes on.
    """
    step = waiting_step(deployment.pk)
    if step is None or step.reported or step.lease_until is None:
        raise NotPossible(_("No step of this deployment waits for a report."))
    if why := why_not_permitted(account, step):
        raise NotPermitted(why)
    if step.phase not in BACK and (why := emergency_stop.closed(deployment.environment, deployment.application_id)):
        raise GateNotPassed(why)
    wanted = wanted_by(deployment, step)
    if not wanted.get("commit"):
        raise NotPossible(_("There is no version to deploy."))
    issued, artefact = now(), wanted.get("artefact") or {}
    subject = [{"name": "commit", "digest": {"gitCommit": wanted["commit"]}}]
    if artefact.get("digest"):
        subject.append({"name": artefact.get("reference", ""), "digest": {"sha256": artefact["digest"]}})
    predicate = {
        "application": deployment.application.slug,
        "version": wanted["version"],
        "environment": deployment.environment.slug,
        "deployment": deployment.pk,
        "step": step.ordinal,
        "account": account.username,
        "issuedAt": issued.isoformat(),
        "expiresAt": min(step.lease_until, issued + timedelta(minutes=MINUTES)).isoformat(),
    }
    statement: dict[str, Any] = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": APPROVAL,
        "predicate": predicate,
    }
    return signer().envelope(PAYLOAD, rfc8785.dumps(statement))


def wanted_by(deployment: Deployment, step: Step) -> dict[str, Any]:
    """Return the version that a step brings, as it was frozen; of a rollback, the earlier one. Empty: none."""
    return deployment.previous.get("deployed_version" if step.phase in BACK else "wanted") or {}
