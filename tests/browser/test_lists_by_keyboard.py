"""Lists by the keyboard alone: the filters are opened, and a view is saved and opened again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from environments.models import SavedView
from tests.browser.devices import Keyboard
from tests.browser.person import Person


def test_a_list_is_filtered_and_its_view_saved_by_keyboard(
    seeded: dict[str, Any], person: Callable[..., Person]
) -> None:
    """Each control is reached by Tab, and what has the focus shows it."""
    manager = person("manager", by=Keyboard, reduced_motion="reduce")
    manager.go("/admin/releases/release/")
    manager.use(manager.page.locator(".filter-open-button"))
    manager.press('.r-filterby a[href*="state__exact=draft"]')
    manager.use(manager.page.locator("#views summary"))
    manager.write(manager.page.locator('#views input[name="name"]'), "下書き")
    manager.tick(manager.page.locator('#views input[name="shared"]'))
    manager.press("#views button")
    view = SavedView.objects.get()
    assert (view.name, view.query, view.shared) == ("下書き", "state__exact=draft", True)
    manager.go("/admin/releases/release/")
    manager.use(manager.page.locator("#views summary"))
    manager.press('#views a[href="?state__exact=draft"]')
    assert manager.page.locator("#views summary").inner_text().strip() == "保存した表示条件：下書き"
    assert not manager.complaints, manager.complaints
