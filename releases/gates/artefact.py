"""The gate of the artefact, always asked for an application that deploys one: registered, and signed where keys are
known.
"""

from django.utils.translation import override

from environments.models import Environment
from environments.targets.words import gettext as _
from releases.gates.base import Answer, Known
from releases.models import Artefact
from releases.sources.artefacts import public_keys, signature_fault

KEY = "artefact"


def answer(environment: Environment, known: Known) -> Answer | None:
    """Return the gate for a release that deploys an artefact; None for one that deploys its Git tree."""
    release = known.release
    kind = release.artefact_kind
    if not kind:
        return None
    found = release.artefact_to_deploy
    if found is None or found.kind != kind or found.commit != release.commit:
        text = _("No artefact of the type “%(kind)s” is registered for the commit %(commit)s.")
        named = {"kind": Artefact.Kind(kind).label, "commit": release.commit[:12] or "—"}
        return _answer(False, text % named)
    keys = release.application.allowed_signers
    if not public_keys(keys):
        text = _("%(reference)s, SHA-256 %(digest)s. Its signature is not checked: the application has no PEM key.")
        return _answer(True, text % {"reference": found.reference, "digest": found.digest[:12]})
    if fault := signature_fault(found.kind, found.digest, found.signature, found.signed_payload, keys):
        return _answer(False, fault)
    text = _("%(reference)s, SHA-256 %(digest)s, signed by a key of the application.")
    return _answer(True, text % {"reference": found.reference, "digest": found.digest[:12]})


def _answer(passes: bool, why: str) -> Answer:
    return Answer(KEY, "passed" if passes else "not_passed", why, "plan", _label("ja"), _label("en"), kind=KEY)


def _label(language: str) -> str:
    with override(language):
        return _("Artefact")
