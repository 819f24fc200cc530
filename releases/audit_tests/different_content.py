"""Approved digest ≠ deployed digest: what was consented to, word by word, against what the run brought."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import rfc8785
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from environments.models import ConfigurationVersion
from releases.audit_tests.base import CHUNK, Outcome, SavedTest, Scope, words_for
from releases.models import Deployment


def _digest(content: Any) -> str:
    return hashlib.sha256(rfc8785.dumps(content)).hexdigest()


def _configuration(deployment: Deployment) -> str | None:
    wanted = deployment.base.get("wanted_configuration")
    return ConfigurationVersion.objects.filter(pk=wanted).values_list("digest", flat=True).first() if wanted else None


def differences(deployment: Deployment) -> Iterator[tuple[str, str, str]]:
    """Yield (what, as approved, as deployed) of a run; what was not measured can't differ."""
    round_ = deployment.consent
    if round_ is None:
        yield _("consent"), "—", deployment.plan_digest
        return
    content = round_.document
    if _digest(content) != round_.digest:
        yield _("content of the round"), round_.digest, _digest(content)
    for word in words_for(deployment):
        if word.digest != round_.digest:
            yield _("digest of an approval"), word.digest, round_.digest
        signed = word.signature.get("digest", word.digest)
        if signed != word.digest:
            yield _("digest of a signature"), signed, word.digest
    pairs = [
        (_("step plan"), _digest(content.get("plan")), deployment.plan_digest),
        (_("commit"), content.get("commit"), deployment.base.get("wanted", {}).get("commit")),
        (_("tree"), content.get("tree"), deployment.base.get("wanted_tree")),
        (_("code on the target"), content.get("tree"), deployment.measured.get("verify", {}).get("code")),
        (_("configuration"), content.get("configuration"), _configuration(deployment)),
    ]
    for what, approved, deployed in pairs:
        if approved and deployed and approved != deployed:
            yield what, approved, deployed


def run(scope: Scope) -> Outcome:
    """Compare each run in a protected environment with its round."""
    outcome = Outcome()
    for deployment in scope.runs().iterator(chunk_size=CHUNK):
        outcome.examined += 1
        for what, approved, deployed in differences(deployment):
            outcome.found(deployment, str(deployment), what, approved, deployed)
    return outcome


TEST = SavedTest(
    key="different-content",
    title=gettext_lazy("Approved content is not the deployed content"),
    question=gettext_lazy("Is what ran, by digest, what each approval was given for?"),
    columns=(gettext_lazy("run"), gettext_lazy("what"), gettext_lazy("approved"), gettext_lazy("deployed")),
    run=run,
)
