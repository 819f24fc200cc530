"""The operations of a release by hand: what people click from the plan to the scheduled production deployment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.browser.person import Person

TOKYO = ZoneInfo("Asia/Tokyo")
WRITTEN = {
    "title": "タグ検索の追加",
    "ticket": "DS-100",
    "reason": "利用部門の要望",
    "impact": "検索画面",
    "security_impact": "なし",
    "risk": "low",
    "test_plan": "結合試験まで",
    "rollback_plan": "1.2.0 へ戻す",
}


def hour(days: float = 0) -> str:
    """Return a time so many days from now as the date field takes it."""
    return (datetime.now(TOKYO) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M")


def test_a_release_is_planned_and_its_scope_locked_by_clicking(world: Any, person: Callable[..., Person]) -> None:
    """From My tasks to a fixed content; a date outside every window is refused, and the page names the next one."""
    from releases.models import Release

    manager = person("manager")
    manager.go("/admin/")
    manager.do("release:plan", application_id="Datasets", version="１.３.０", title="タグ検索", kind="regular")
    release = Release.objects.get()
    page = f"/admin/release/{release.pk}/"
    assert manager.path == page and release.version == "1.3.0", "full-width input is read"
    manager.do("release:edit", **WRITTEN)
    manager.do("release:select_commit", branch="release/1.3")
    manager.do("release:set_configuration")  # the newest of each environment is chosen beforehand
    assert world.fresh(release).configurations == {slug: row.pk for slug, row in world.configurations.items()}
    manager.do("release:add_change_entry", kind="feature", text="タグで絞り込める", ticket="DS-101")

    manager.choose("release:set_scheduled_start")
    manager.send(start=hour(days=1))
    assert manager.path == f"/admin/operation/release/set_scheduled_start/{release.pk}/"
    said = manager.page.locator('[role="alert"]').inner_text()
    assert "次のリリース時間帯" in said and "01:00" in said, said
    assert world.fresh(release).scheduled_start_at is None
    manager.send(start=hour())
    assert manager.path == page
    assert manager.page.locator("#plan .r-mark").count() == 5, "T-14, T-7, T-3, T-1 and T-0 are drawn"
    manager.do("release:lock_scope", reason="T-14")
    assert world.fresh(release).state == "scope_locked"
    assert manager.page.locator('[aria-current="step"]').inner_text() == "リリース内容確定"
    assert not [heard for heard in manager.complaints if "409" not in heard]


def team(members: dict[str, str]) -> dict[str, str]:
    """Return the values of the form of a release team."""
    return {f"{role}_account_id": who for role, who in members.items()} | {
        f"{role}_telephone": "03-1234-5678" for role in members
    }


def test_checklist_documents_and_team_are_filled_by_clicking(world: Any, person: Callable[..., Person]) -> None:
    """Each by the responsible person; every signature stands on the page with its name."""
    release = world.planned()
    with world.acting_as("manager"):
        from releases.operations.release.prepare import lock_scope

        lock_scope(release.pk)
    page = f"/admin/release/{release.pk}/"
    operator, developer, manager = person("operator"), person("developer"), person("manager")

    operator.go(page)
    operator.do("checklist:sign", "#checklist", evidence="要件一覧を読んだ")
    assert "要件一覧を読んだ" in operator.page.locator("#checklist li.done").inner_text()
    developer.go(page)
    developer.do("document:edit", "#documents", body="タグで絞り込めるようになりました。")
    operator.go(page)
    operator.do("document:check_content", "#documents", reason="読んだ")
    first = release.documents.order_by("pk").first()
    assert world.fresh(first).state == "content_checked" and "タグで" in world.fresh(first).body
    manager.go(page)
    members = {"implementer": "Operator", "verifier": "Second Operator", "rollback_decision_maker": "Manager"}
    manager.do("team:assign", **team(members))
    assert manager.page.locator('#release-team a[href="tel:03-1234-5678"]').count() == 3
    manager.choose("team:assign")
    manager.send(verifier_account_id="Operator")
    assert manager.page.locator('[role="alert"] li').count() == 1, "worker and verifier are two people"
    assert not [heard for heard in manager.complaints + operator.complaints if "400" not in heard]


def test_the_final_check_is_signed_and_the_deployment_scheduled_by_clicking(
    world: Any, person: Callable[..., Person]
) -> None:
    """Two people sign what was measured, and what was not says so; then an operator schedules the deployment."""
    release, _request = world.approved()
    page = f"/admin/release/{release.pk}/"
    manager, operator = person("manager"), person("operator")
    for who in (manager, operator):
        who.go("/admin/")
        who.press(f'#waiting a[href="{page}#final"]')
        who.choose("release:sign_final_check")
        shown = who.page.locator("section.r-card dl").inner_text()
        assert "未測定" in shown and "はい" in shown and "いいえ" not in shown, shown
        who.send(reason="確認した")
        assert who.path == page
    assert world.fresh(release).state == "final_check_completed"
    operator.do("deployment:request", environment_id="本番環境")
    deployment = release.deployments.get(environment__slug="production")
    assert operator.path == f"/admin/deployment/{deployment.pk}/"
    operator.do("deployment:schedule")
    assert world.fresh(deployment).state == "scheduled" and world.fresh(deployment).scheduled_by.username == "operator"
    assert operator.page.locator("[data-live-state]").get_attribute("data-live-state") == "scheduled"
    assert not manager.complaints and not operator.complaints


def test_the_auditor_reads_everything_without_a_button(seeded: dict[str, Any], person: Callable[..., Person]) -> None:
    """No page that they can reach over the links of the menu and of the first rows leads to an operation."""
    auditor = person("auditor")
    auditor.go("/admin/")
    links = "a => a.map(e => e.getAttribute('href') || '').filter(h => /^.admin.[^#]*$/.test(h))"
    menu = auditor.page.locator("#nav-sidebar a").evaluate_all(links)
    rows = [
        f"/admin/{noun}/{seeded[name].pk}/"
        for noun, name in (
            ("release", "review"),
            ("release", "released"),
            ("deployment", "back"),
            ("rollback", "rollback"),
        )
    ]
    for address in dict.fromkeys([*menu, *rows]):
        assert auditor.go(address).status == 200, address
        assert auditor.page.locator('[data-verb], a[href*="/admin/operation/"]').count() == 0, address
        assert auditor.page.locator('form[method="post"]').evaluate_all(
            "f => f.map(e => e.getAttribute('action')).every(a => ['/language/', '/account/logout/'].includes(a))"
        ), address
    auditor.go("/admin/timeline/")
    assert auditor.page.locator(".r-events li").count() > 10
    auditor.page.locator(".r-events summary").first.click()
    assert auditor.page.locator(".r-events details[open]").count() == 1
    assert not auditor.complaints


def test_the_language_is_switched_on_the_page_and_stays(seeded: dict[str, Any], person: Callable[..., Person]) -> None:
    """From Japanese to English and back, on the page where one is."""
    manager = person("manager")
    manager.go(f"/admin/release/{seeded['review'].pk}/")
    for language, words in (("en", "Checklist"), ("ja", "チェックリスト")):
        manager.press(f'button[name="language"][value="{language}"]')
        assert manager.path == f"/admin/release/{seeded['review'].pk}/"
        assert manager.page.locator("html").get_attribute("lang") == language
        assert manager.page.locator("#checklist h3").inner_text().startswith(words)
        manager.go("/admin/calendar/")
        assert manager.page.locator("html").get_attribute("lang") == language
        manager.go(f"/admin/release/{seeded['review'].pk}/")


def test_approval_is_given_without_javascript(seeded: dict[str, Any], person: Callable[..., Person]) -> None:
    """Every operation is a link and a form; an extra window needs no more."""
    approval_request = seeded["extra"]
    committee = person("committee_b", java_script_enabled=False)
    committee.go("/admin/")
    committee.press(f'#waiting a[href="/admin/approval-request/{approval_request.pk}/"]')
    committee.send(comment="承認する")
    assert approval_request.decisions.filter(account__username="committee_b").count() == 1
    committee.press('#nav-sidebar a[href="/admin/calendar/"]')
    assert committee.path == "/admin/calendar/"
