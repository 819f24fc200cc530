"""Chapter 4: approval that is bound to the content, the final check, and the scheduled start."""

from __future__ import annotations

from typing import Any

from releases.demo.site import plain
from releases.demo.stage import Stage


def play(stage: Stage) -> dict[str, Any]:
    """Refuse the author, invalidate by reopening the scope, approve again, sign the final check, schedule."""
    release = stage.release["1.3.0"]
    first = int(stage.manager.do("release:submit", release))
    digest = stage.committee_a.shown_digest(first)
    author = stage.manager.refused("approval:approve", first, digest=digest, comment="my own work")
    stage.committee_a.approve(first)
    twice = stage.committee_a.refused("approval:approve", first, digest=digest, comment="once more")
    stage.manager.do("release:reopen_scope", release, reason="the impact was written too short")
    page = stage.manager.page(f"/admin/release/{release}/")
    stage.check(
        'data-invalidated-by="scope_reopened"' in page,
        "the release page does not name what invalidated the approval request",
    )
    stage.edit("1.3.0", impact="Datasets cannot be written for about two minutes")
    stage.manager.do("release:lock_scope", release)
    signed = stage.sign_checklist("1.3.0")
    written = stage.documents("1.3.0")
    stage.manager.do("release:complete_testing", release)
    second = int(stage.manager.do("release:submit", release))
    fresh = stage.committee_b.shown_digest(second)
    stage.check(fresh != digest, "the digest did not change with the content")
    stage.committee_b.approve(second)
    one = stage.manager.refused("release:sign_final_check", release)
    stage.committee_a.approve(second)
    final = plain(stage.manager.page(f"/admin/operation/release/sign_final_check/{release}/"))
    honest = "未測定" in final or "not yet measured" in final
    stage.check(honest, "the final check does not say what is not yet measured")
    deployment = stage.go("1.3.0")
    return {
        "the author": author.reasons,
        "twice by one person": twice.reasons,
        "digest of the first request": digest[:16],
        "the first request is invalidated by": "scope_reopened",
        "digest of the second request": fresh[:16],
        "one old and one new approval": one.reasons,
        "checklist items signed again": signed,
        "documents written again": written,
        "final check says what is not yet measured": honest,
        "deployment scheduled": deployment,
    }
