"""Release notes, changelog and status text state the same facts, each for its readers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from releases.notifications.templates import notes

FACTS = notes.Facts(
    application="Datasets",
    version="1.3.0",
    title="Tags",
    state="final_check_completed",
    opens="2026/12/16 01:00 JST",
    closes="2026/12/16 05:00 JST",
    day="2026-12-16",
    impact="Search looks different.",
    technical=("impact", "", "back"),
    changes=[
        notes.Fact("small", "Faster build", "DS-3"),
        notes.Fact("feature", "Filter by tag", "DS-1"),
        notes.Fact("breaking", "The old export is gone", ""),
    ],
)


def test_release_notes_show_user_changes_by_severity() -> None:
    text = notes.release_notes(FACTS, "en")
    assert text.index("Breaking changes") < text.index("Filter by tag") < text.index("Search looks different.")
    assert "Faster build" not in text and "DS-1" not in text and FACTS.opens in text


def test_the_changelog_has_every_change_with_its_ticket() -> None:
    text = notes.changelog(FACTS, "en")
    assert text.startswith("## [1.3.0] - 2026-12-16")
    assert all(change.text in text for change in FACTS.changes) and "Filter by tag (DS-1)" in text


def test_texts_are_japanese_for_japanese_readers() -> None:
    assert "新機能" in notes.changelog(FACTS, "ja") and "互換性のない変更" in notes.release_notes(FACTS, "ja")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("final_check_completed", "is planned for 2026/12/16 01:00 JST"),
        ("releasing", "until 2026/12/16 05:00 JST"),
        ("completed", "The service is available"),
        ("rolled_back", "rolled back"),
        ("failed", "did not succeed"),
        ("cancelled", "cancelled"),
    ],
)
def test_the_status_text_names_the_release_state(state: str, said: str) -> None:
    assert said in notes.status(replace(FACTS, state=state), "en")


def test_a_status_without_a_date_promises_none() -> None:
    assert "no date yet" in notes.status(replace(FACTS, state="draft", opens=""), "en")
