"""One release from its plan to production and back again until the report is closed, played by each.

On a desk in Japanese with a mouse and with the keyboard alone, and on phones in English.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from audit.actor import acting
from tests.browser.devices import Keyboard, Touch
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
# The most presses of Tab on the way to one control.
MOST_TABS = 24
# How the story is played: by which device, and the browser's options. On English pages people type English.
PLAYED: dict[str, dict[str, Any]] = {
    "mouse": {"viewport": {"width": 1440, "height": 900}},
    "phone": {"by": Touch, "phone": True, "locale": "en"},
    "keyboard": {"by": Keyboard, "viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce"},
}
ENGLISH = {
    "読んだ": "read",
    "タグ検索": "Search by tag",
    "タグで絞り込める": "Datasets can be filtered by tag",
    "タグで絞り込めるようになりました。": "Datasets can now be filtered by tag.",
    "再発を防ぐため、負荷試験を行う。": "A load test is added, so that this does not happen again.",
    "報告を終えた": "The report is complete",
    "内容を確認した": "Read and checked",
    "確認した": "Checked",
    "本番環境": "Production",
    "動作を確認した": "It works",
    "検索結果に重複がある": "Results appear twice",
    "検索だけに影響する": "Only the search is concerned",
    "電話で連絡した": "Told by telephone",
    "戻す": "Roll back",
    "タグ検索の追加": "Search by tag",
    "利用部門の要望": "Asked for by the users",
    "検索画面": "the search page",
    "なし": "none",
    "結合試験まで": "up to the integration test",
    "1.2.0 へ戻す": "back to 1.2.0",
}


def said(who: Person, text: str) -> str:
    """Return a text in the language of the page."""
    return ENGLISH.get(text, text) if who.language == "en" else text


def sign_pending_items(who: Person, release: Any) -> None:
    """Tick all pending items of one person in a release, say what was looked at, and sign them at once."""
    who.press(f'a[href="{reverse("sign-all", args=[release.pk])}"]')
    who.use(who.page.locator("[data-tick-all]"))
    for place in who.page.locator(".r-sign-one :is(input[type=text], textarea)").all():
        who.write(place, said(who, "読んだ"))
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
    manager.do(
        "release:plan", application_id="Datasets", version="1.3.0", title=said(manager, "タグ検索"), kind="regular"
    )
    release = Release.objects.get()
    manager.do("release:edit", **{name: said(manager, text) for name, text in WRITTEN.items()})
    manager.do("release:select_commit", branch="release/1.3")
    manager.do("release:set_configuration")
    developer.open(f"/admin/release/{release.pk}/", "1.3.0")
    developer.do("release:add_change_entry", kind="feature", text=said(developer, "タグで絞り込める"), ticket="DS-101")
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
        developer.open(page, "1.3.0")
        developer.press(f'#documents a[href="{reverse("operation", args=["document", "edit", document.pk])}"]')
        developer.send(body=said(developer, "タグで絞り込めるようになりました。"))
    operator.go("/admin/")
    operator.press(f'#waiting a[href^="{page}"]')
    sign_pending_items(operator, release)
    manager.open(page, "1.3.0")
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
    developer.open(page, "1.3.0")
    for document in documents:
        developer.press(f'#documents a[href="{reverse("operation", args=["document", "edit", document.pk])}"]')
        developer.send(body=f"{document.body}\n{said(developer, '再発を防ぐため、負荷試験を行う。')}")
    for verb, who in (("check_content", operator), ("approve", manager)):
        who.go("/admin/")
        who.press(f'#waiting a[href^="{page}"]')
        for document in documents:
            who.press(f'#documents a[href="{reverse("operation", args=["document", verb, document.pk])}"]')
            who.send()
    manager.do("rollback:close", reason=said(manager, "報告を終えた"))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("played", PLAYED)
def test_the_whole_story_is_played(played: str, world: Any, person: Callable[..., Person]) -> None:
    """Each finds their tasks under My tasks, and needs no more clicks or signatures than the limits above."""
    from releases.operations.rollback.decide import pre_authorise

    before, people = signatures(), {name: person(name, **PLAYED[played]) for name in MOST}
    manager, operator, second = people["manager"], people["operator"], people["second_operator"]
    release = prepared(world, manager, people["developer"])
    applied_for(manager, people["developer"], operator, release)
    page = f"/admin/release/{release.pk}/"
    assert world.fresh(release).state == "in_review", manager.text

    for name in ("committee_a", "committee_b"):
        people[name].go("/admin/")
        people[name].press(f'#waiting a[href="/admin/approval-request/{release.approval_requests.get().pk}/"]')
        people[name].send(comment=said(people[name], "内容を確認した"))
    assert world.fresh(release).state == "approved"
    for who in (manager, operator):
        who.go("/admin/")
        who.press(f'#waiting a[href="{page}#final"]')
        who.do("release:sign_final_check", reason=said(who, "確認した"))
    operator.do("deployment:request", environment_id=said(operator, "本番環境"))
    operator.do("deployment:schedule")
    deployment = executed(world, release.deployments.get(environment__slug="production"))
    assert deployment.state == "verifying"

    second.go("/admin/")
    second.press(f'#waiting a[href^="/admin/deployment/{deployment.pk}/"]')
    second.choose("deployment:verify")
    for box in second.page.locator('form.r-form input[name="confirmed"]').all():
        second.tick(box)
    second.send(reason=said(second, "動作を確認した"))
    assert world.fresh(deployment).state == "monitoring" and world.fresh(release).state == "monitoring", second.text

    operator.open(f"/admin/deployment/{deployment.pk}/", "1.3.0")
    operator.do("rollback:raise", note=said(operator, "検索結果に重複がある"))
    rollback = deployment.rollbacks.get()
    manager.go("/admin/")
    manager.press(f'#waiting a[href^="/admin/rollback/{rollback.pk}/"]')
    manager.choose("rollback:assess")
    for place in manager.page.locator("form.r-form textarea, form.r-form input[type=text]").all():
        manager.write(place, said(manager, "検索だけに影響する"))
    manager.press("form.r-form button.main")
    manager.do("rollback:communicate", stated=said(manager, "電話で連絡した"))
    with acting(WORKER):
        pre_authorise(rollback.pk, rows={"datasets": 3})  # counts on the target
    second.go("/admin/")
    second.press(f'#waiting a[href^="/admin/rollback/{rollback.pk}/"]')
    second.do("rollback:authorise", reason=said(second, "戻す"))
    assert world.fresh(rollback).state == "authorised", second.text

    assert carry_out_rollback(world, rollback).state == "reporting"
    reported(manager, people["developer"], operator, rollback)
    assert world.fresh(rollback).state == "closed", manager.text
    assert world.fresh(deployment).state == "rolled_back" and world.fresh(release).state == "rolled_back"
    assert not any(who.complaints for who in people.values()), [who.complaints for who in people.values()]

    signed = signatures() - before
    counted = {name: (who.clicks, signed[name.replace("_", " ").title()]) for name, who in people.items()}
    print("\n".join(f"{name}: {clicks} clicks, {count} signatures" for name, (clicks, count) in counted.items()))
    for name, who in people.items():
        if isinstance(who, Keyboard):
            print(f"{name}: {who.keys} keys, at most {max(who.walks)}")
            assert max(who.walks)[0] <= MOST_TABS, sorted(who.walks)[-9:]
    above = {name: count for name, count in counted.items() if count[0] > MOST[name][0] or count[1] > MOST[name][1]}
    assert not above, counted
    assert sum(count for _clicks, count in counted.values()) == sum(signed.values()) > 0, signed
