"""Approved digest ≠ deployed digest: the approved content against the deployed content, field by field."""

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import rfc8785
from django.db.models import JSONField, TextField
from django.db.models.expressions import RawSQL
from django.utils.translation import gettext_lazy as _

from environments.language import labelled
from environments.models import ConfigurationVersion
from releases.models import ApprovalRequest
from releases.reporting.audit_tests.base import CHUNK, Outcome, SavedTest, Scope, decisions_for

_plain = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode
# The plan is the greater part of a document, and many documents share one.
_REST = RawSQL("releases_approvalrequest.document - 'plan'::text", [], JSONField())
_PLAN = RawSQL(
    "encode(sha256(convert_to(releases_approvalrequest.document ->> 'plan', 'UTF8')), 'hex')", [], TextField()
)


class Compared:
    """Approved content against deployed content; a plan of many approval requests is read once.

    Where the plain form of a content has the digest of its canonical form (RFC 8785), both are the same bytes.
    """

    def __init__(self) -> None:
        self._configurations = dict(ConfigurationVersion.objects.values_list("pk", "digest"))
        self._plans: dict[str, str] = {}

    def differences(self, deployment: Any) -> Iterator[tuple[Any, str, str]]:
        """Yield (what, as approved, as deployed) of a deployment; what was not measured can't differ."""
        approval_request = deployment.approval_request
        if approval_request is None:
            yield _("approval request"), "—", deployment.plan_digest
            return
        content, plan = deployment.rest, self._plan(deployment)
        whole = _plain(content | {"plan": deployment.plan}).replace(f'"{deployment.plan}"', plan, 1)
        digest = _digest(whole, approval_request.digest, lambda: _document(deployment))
        if digest != approval_request.digest:
            yield _("content of the approval request"), approval_request.digest, digest
        for decision in decisions_for(deployment):
            if decision.digest != approval_request.digest:
                yield _("digest of an approval decision"), decision.digest, approval_request.digest
            signed = decision.signature.get("digest", decision.digest)
            if signed != decision.digest:
                yield _("digest of a signature"), signed, decision.digest
        planned = _digest(plan, deployment.plan_digest, lambda: _document(deployment).get("plan"))
        brought = self._configurations.get(deployment.previous.get("wanted_configuration"))
        wanted = deployment.previous.get("wanted", {})
        artefact = content.get("artefact", {})
        # What the files of an archive have as their tree is measured, and stands in no approval.
        code = {"": content.get("tree"), "image": artefact.get("digest")}.get(artefact.get("kind", ""))
        pairs: list[tuple[Any, Any, Any]] = [
            (_("step plan"), planned, deployment.plan_digest),
            (_("commit"), content.get("commit"), wanted.get("commit")),
            (_("artefact"), artefact.get("digest"), wanted.get("artefact", {}).get("digest")),
            (_("Git tree hash"), content.get("tree"), deployment.previous.get("wanted_tree")),
            (_("code on the deployment target"), code, deployment.measured.get("verification", {}).get("code")),
            (_("configuration"), content.get("configuration"), brought),
        ]
        others = deployment.measured.get("verification", {}).get("targets", {})
        for name, row in others.items():
            pairs.append((labelled(_("code on the deployment target"), name), code, row.get("code")))
        for what, approved, deployed in pairs:
            if approved and deployed and approved != deployed:
                yield what, approved, deployed

    def _plan(self, deployment: Any) -> str:
        if deployment.plan not in self._plans:
            self._plans[deployment.plan] = _plain(_document(deployment).get("plan"))
        return self._plans[deployment.plan]


def _document(deployment: Any) -> Any:
    """Read one document: those of all deployments together would take too much memory."""
    return ApprovalRequest.objects.values_list("document", flat=True).get(pk=deployment.approval_request_id)


def _digest(plain: str, expected: str, content: Callable[[], Any]) -> str:
    found = hashlib.sha256(plain.encode()).hexdigest()
    return found if found == expected else hashlib.sha256(rfc8785.dumps(content())).hexdigest()


def run(scope: Scope) -> Outcome:
    """Compare each deployment in a protected environment with its approval request."""
    outcome, compared = Outcome(), Compared()
    for deployment in scope.deployments().annotate(rest=_REST, plan=_PLAN).iterator(chunk_size=CHUNK):
        outcome.examined += 1
        for what, approved, deployed in compared.differences(deployment):
            outcome.found(deployment, str(deployment), what, approved, deployed)
    return outcome


TEST = SavedTest(
    key="different-content",
    title=_("Approved content is not the deployed content"),
    question=_("Does the deployed content match, by digest, the content of each approval?"),
    columns=(_("deployment"), _("item"), _("approved"), _("deployed")),
    run=run,
)
