"""One release from its plan to production and back again until the report is closed, clicked in Japanese by each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from audit.actor import acting
from tests.browser.person import Person
from tests.browser.test_story import WRITTEN, hour, team
from tests.releases.audited import WORKER, carry_out_rollback, executed

# The most clicks and signatures of each person; a click is a link or a button that leads to another page, also that
# which confirms the password for a signature.
MOST = {
    "manager": (71, 12),
    "developer": (14, 0),
    "operator": (24, 14),
    "committee_a": (3, 1),
    "committee_b": (3, 1),
    "second_operator": (7, 2),
}


def sign_pending_items(who: Person, release: Any) -> None:
    """Tick all pending items of one person in a release, say what was looked at, and sign them at once."""
    who.press(f'a[href="{reverse("sign-all", args=[release.pk])}"]')
    who.page.locator("[data-tick-all]").click()
    for place in who.page.locator(".r-sign-one :is(input[type=text], textarea)").all():
        place.fill("読んだ")
    who.press("form.r-form button.main")
    assert who.path == f"/admin/release/{release.pk}/", who.text


def signatures() -> Counter[str]:
    """Return how many signatures of each person the ledger holds, by printed name."""
    from audit.models import Event

    found: Counter[str] = Counter()
    for event in Event.objects.filter(kind="operation"):
        if signed := (event.contents.get("after") or {}).get("signature"):
            found[signed["name"]] += 1
    return found


def prepared(world: Any, manager: Person, developer: Person) -> Any:
    """Plan a release and fix its content; CI uploads the evidence and deploys it to the lower environments."""
    from releases.models import Release

    manager.go("/admin/")
    manager.do("release:plan", application_id="Datasets", version="1.3.0", title="タグ検索", kind="regular")
    release = Release.objects.get()
    manager.do("release:edit", **WRITTEN)
    manager.do("release:select_commit", branch="release/1.3")
    manager.do("release:set_configuration")
    developer.go(f"/admin/release/{release.pk}/")
    developer.do("release:add_change_entry", kind="feature", text="タグで絞り込める", ticket="DS-101")
    manager.do("release:set_scheduled_start", start=hour())
    manager.do("release:lock_scope", reason="T-14")
    world.evidence("1.3.0")
    for name in ("development", "staging"):
        world.verified_deployment(release, name)
    return release


def applied_for(manager: Person, developer: Person, operator: Person, release: Any) -> None:
    """Fill checklist, documents and team, and submit for approval."""
    page = f"/admin/release/{release.pk}/"
    for document in release.documents.order_by("pk"):
        developer.go(page)
        developer.press(f'#documents a[href="{reverse("operation", args=["document", "edit", document.pk])}"]')
        developer.send(body="タグで絞り込めるようになりました。")
    operator.go("/admin/")
    operator.press(f'#waiting a[href^="{page}"]')
    sign_pending_items(operator, release)
    manager.go(page)
    for document in release.documents.order_by("pk"):
        for verb in ("approve", "prepare_publication"):
            manager.press(f'#documents a[href="{reverse("operation", args=["document", verb, document.pk])}"]')
            manager.send()
    members = {
        "implementer": "Operator",
        "verifier": "Second Operator",
        "release_lead": "Manager",
        "rollback_decision_maker": "Second Operator",
    }
    manager.do("team:assign", **team(members))
    for verb in ("refresh_from_git", "complete_testing", "submit"):
        manager.do(f"release:{verb}")


def reported(manager: Person, developer: Person, operator: Person, rollback: Any) -> None:
    """Write on what was drafted from the facts, check and approve it, and close the rollback."""
    page = f"/admin/rollback/{rollback.pk}/"
    documents = list(rollback.documents.order_by("pk"))
    developer.go(page)
    for document in documents:
        developer.press(f'#documents a[href="{reverse("operation", args=["document", "edit", document.pk])}"]')
        developer.send(body=f"{document.body}\n再発を防ぐため、負荷試験を行う。")
    for verb, who in (("check_content", operator), ("approve", manager)):
        who.go("/admin/")
        who.press(f'#waiting a[href^="{page}"]')
        for document in documents:
            who.press(f'#documents a[href="{reverse("operation", args=["document", verb, document.pk])}"]')
            who.send()
    manager.do("rollback:close", reason="報告を終えた")


@pytest.mark.timeout(900)
def test_the_whole_story_is_clicked_in_japanese(world: Any, person: Callable[..., Person]) -> None:
    """Each finds their tasks under My tasks, and needs no more clicks or signatures than the limits above."""
    from releases.operations.rollback.decide import pre_authorise

    before, people = signatures(), {name: person(name) for name in MOST}
    manager, operator, second = people["manager"], people["operator"], people["second_operator"]
    release = prepared(world, manager, people["developer"])
    applied_for(manager, people["developer"], operator, release)
    page = f"/admin/release/{release.pk}/"
    assert world.fresh(release).state == "in_review", manager.text

    for name in ("committee_a", "committee_b"):
        people[name].go("/admin/")
        people[name].press(f'#waiting a[href="/admin/approval-request/{release.approval_requests.get().pk}/"]')
        people[name].send(comment="内容を確認した")
    assert world.fresh(release).state == "approved"
    for who in (manager, operator):
        who.go("/admin/")
        who.press(f'#waiting a[href="{page}#final"]')
        who.do("release:sign_final_check", reason="確認した")
    operator.do("deployment:request", environment_id="本番環境")
    operator.do("deployment:schedule")
    deployment = executed(world, release.deployments.get(environment__slug="production"))
    assert deployment.state == "verifying"

    second.go("/admin/")
    second.press(f'#waiting a[href^="/admin/deployment/{deployment.pk}/"]')
    second.choose("deployment:verify")
    for box in second.page.locator('form.r-form input[name="confirmed"]').all():
        box.check()
    second.send(reason="動作を確認した")
    assert world.fresh(deployment).state == "monitoring" and world.fresh(release).state == "monitoring", second.text

    operator.go(f"/admin/deployment/{deployment.pk}/")
    operator.do("rollback:raise", note="検索結果に重複がある")
    rollback = deployment.rollbacks.get()
    manager.go("/admin/")
    manager.press(f'#waiting a[href^="/admin/rollback/{rollback.pk}/"]')
    manager.choose("rollback:assess")
    for place in manager.page.locator("form.r-form textarea, form.r-form input[type=text]").all():
        place.fill("検索だけに影響する")
    manager.press("form.r-form button.main")
    manager.do("rollback:communicate", stated="電話で連絡した")
    with acting(WORKER):
        pre_authorise(rollback.pk, rows={"datasets": 3})  # counts on the target
    second.go("/admin/")
    second.press(f'#waiting a[href^="/admin/rollback/{rollback.pk}/"]')
    second.do("rollback:authorise", reason="戻す")
    assert world.fresh(rollback).state == "authorised", second.text

    assert carry_out_rollback(world, rollback).state == "reporting"
    reported(manager, people["developer"], operator, rollback)
    assert world.fresh(rollback).state == "closed", manager.text
    assert world.fresh(deployment).state == "rolled_back" and world.fresh(release).state == "rolled_back"
    assert not any(who.complaints for who in people.values()), [who.complaints for who in people.values()]

    signed = signatures() - before
    counted = {name: (who.clicks, signed[name.replace("_", " ").title()]) for name, who in people.items()}
    print("\n".join(f"{name}: {clicks} clicks, {count} signatures" for name, (clicks, count) in counted.items()))
    above = {name: count for name, count in counted.items() if count[0] > MOST[name][0] or count[1] > MOST[name][1]}
    assert not above, counted
    assert sum(count for _clicks, count in counted.values()) == sum(signed.values()) > 0, signed
