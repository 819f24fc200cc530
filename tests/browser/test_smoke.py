"""The shortest way through an approval: two of the committee approve, the author may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.person import Person

pytestmark = pytest.mark.smoke


def approve(who: Person, release: Any) -> None:
    """Sign in, follow a task of My tasks, read, approve, and prove the identity, although the sign-in was just now."""
    who.sign_in()
    approval_request = release.approval_requests.get()
    page = f"/admin/approval-request/{approval_request.pk}/"
    who.press(f'#waiting a[href="{page}"]')
    assert who.page.locator("#approvals .r-digest").inner_text() == approval_request.digest
    assert who.page.locator("#decide").bounding_box()["y"] < who.page.viewport_size["height"], "it stays in sight"
    who.fill(comment="内容を確認した")
    who.press("#decide button.main")
    assert str(release) in who.page.locator("#acts").inner_text()
    who.confirm_identity()
    assert who.path == page, who.text


def test_two_of_the_committee_approve_by_clicking_and_the_author_is_refused(
    world: Any, person: Callable[..., Person]
) -> None:
    """In Japanese, one of them on a phone; a password is asked for again because each is a signature."""
    release, approval_request = world.submitted()
    author = person("author_on_committee", signed_in=False)
    author.sign_in()
    author.go(f"/admin/release/{release.pk}/")
    assert author.page.locator('[data-verb="approval:approve"]').count() == 0
    author.go(f"/admin/operation/approval/approve/{approval_request.pk}/")
    assert "あなたは承認対象の作成者であるため、承認できません。" in author.page.locator('[role="alert"]').inner_text()
    assert world.fresh(approval_request).decisions.count() == 0

    first, second = person("committee_a", signed_in=False), person("committee_b", signed_in=False, phone=True)
    approve(first, release)
    assert world.fresh(approval_request).state == "in_review"
    approve(second, release)
    assert not second.wider_than_the_screen
    assert world.fresh(approval_request).state == "approved" and world.fresh(release).state == "approved"
    first.page.reload()
    assert first.page.locator(f"#approval-{approval_request.pk} .r-row .r-chip.good").count() == 1
    for who in (first, second):
        assert not who.complaints
        print(f"{who.name}: {who.clicks} clicks, 1 signature")
