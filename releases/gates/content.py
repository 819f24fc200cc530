"""What a round of consent is about: the canonical document of what will be done, and its digest (RFC 8785, SHA-256)."""

from __future__ import annotations

import hashlib
from typing import Any

import rfc8785

from environments.models import ConfigurationVersion, Environment
from releases.models import Fact, InForce, Release


def document(release: Release, environment: Environment) -> dict[str, Any]:
    """Return the document; two that differ in any key are not the same consent."""
    base = InForce.established(release.application, environment)
    configuration = ConfigurationVersion.objects.filter(
        pk=release.configurations.get(environment.slug), environment=environment
    ).first()
    procedure = release.procedure
    migrations = Fact.objects.filter(release=release, kind="migrations").values_list("value", flat=True).first()
    return {
        "application": release.application.slug,
        "environment": environment.slug,
        "kind": release.kind,
        "base": {
            "version": base.release.version if base is not None and base.release is not None else None,
            "code": base.code if base is not None else None,
            "configuration": base.configuration_digest if base is not None else None,
        },
        "application_for_release": {name: getattr(release, name) for name in ("title", *Release.APPLICATION_FIELDS)},
        "version": release.version,
        "commit": release.commit,
        "tree": release.tree,
        "tag": release.tag,
        "changes": [[c.kind, c.text, c.ticket] for c in release.changes.all()],
        "plan": release.plan,
        "configuration": configuration.present_digest() if configuration is not None else None,
        "migrations": migrations,
        "procedure": {"version": procedure.version, "digest": procedure.digest} if procedure is not None else None,
        "window": {
            "start": release.window_start.isoformat() if release.window_start else None,
            "end": release.window_end.isoformat() if release.window_end else None,
        },
        "preauthorised": {"on": release.preauthorised, "rows": release.preauthorised_rows},
        "unanswered": release.unanswered,
        "compressed": sorted(release.milestones.filter(compressed=True).values_list("key", flat=True)),
    }


def digest(content: dict[str, Any]) -> str:
    """Return the SHA-256 of the canonical form, hex."""
    return hashlib.sha256(rfc8785.dumps(content)).hexdigest()


def difference(consented: dict[str, Any], present: dict[str, Any]) -> str:
    """Return the first key, in reading order, whose value is no longer what was consented to; empty if none."""
    for key, value in present.items():
        if consented.get(key) != value:
            return key
    return next((key for key in consented if key not in present), "")
