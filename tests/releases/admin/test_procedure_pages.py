"""The procedure as a document, the difference between two versions, and the effect of putting one into effect."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from typing import Any

from django.urls import reverse
from django.utils.translation import override

from audit.clock import now
from releases.admin.pages.procedure.difference import differences, effects
from releases.models import Procedure, Release
from releases.operations.procedure.put_into_effect import load
from releases.procedures.compare import changed
from releases.procedures.document import Procedure as Content
from releases.procedures.load import default_text


def other(acting_as: Callable[..., Any]) -> Procedure:
    """Load a draft that asks for three approvals of the committee and gives tests one more day."""
    text = default_text()
    other_text = text.replace('version = "1.0.1"\n', 'version = "1.1.0"\n', 1)
    other_text = other_text.replace(
        'subject = "regular"\ntier = "production"\nstage = 1\nrole = "committee"\nnumber = 2',
        'subject = "regular"\ntier = "production"\nstage = 1\nrole = "committee"\nnumber = 3',
    ).replace("days_before = 7", "days_before = 8")
    entry = text[text.rindex("[[history]]") :]
    other_text += entry.replace("1.0.1", "1.1.0").replace("2024-03-22", "2026-12-01").replace("の追加", "の強化")
    assert tomllib.loads(other_text) != tomllib.loads(text)
    with acting_as("manager"):
        return load(Content.from_toml(other_text), reason="stricter")


def test_values_are_compared_by_key_and_not_by_position() -> None:
    """A row that moves within its list differs in no value: the order of the list does."""
    one = {"gates": [{"key": "a", "kind": "x"}, {"key": "b", "kind": "y"}], "tiers": ["p", "q"]}
    two = {"gates": [{"key": "b", "kind": "y"}, {"key": "a", "kind": "x"}], "tiers": ["p", "q"]}
    with override("en"):
        assert changed(one, two) == {("gates", "order"): ("a → b", "b → a")}


def test_the_difference_names_only_changed_values(
    world: dict[str, Any], acting_as: Callable[..., Any], browsers: Callable[[str], Any]
) -> None:
    """The page names nothing else; every reader of the procedure sees it."""
    draft = other(acting_as)
    active = Procedure.objects.get(state="in_effect")
    found = {d.place: (d.left, d.right) for d in differences(active.content, draft.content)}
    assert ("2", "3") in found.values() and ("7", "8") in found.values() and ("1.0.1", "1.1.0") in found.values()
    assert len(found) == 4 and "1.1.0" in found, found
    html = browsers("auditor").get(reverse("procedure-difference")).content.decode()
    assert "<del>7</del>" in html and "<ins>8</ins>" in html


def test_the_preview_shows_the_effect_and_changes_nothing(world: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    """The approval that would end, and the milestone that would fall earlier; the release is unchanged."""
    draft, release = other(acting_as), world["review"]
    found = {e.release.pk: e for e in effects(draft, now())}
    effect = found[release.pk]
    assert any("Committee A" in line for line in effect.approvals)
    assert [name for name, _was, _will in effect.milestones] == ["Tests done"] or len(effect.milestones) == 1
    row = Release.objects.get(pk=release.pk)
    assert row.procedure_id != draft.pk and row.state == "in_review"


def test_the_document_has_the_eight_chapters_in_both_languages(
    world: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    """With the values of the written procedure, ending with its change history."""
    client, address = browsers("developer"), reverse("procedure-document", args=[world["released"].procedure_id])
    japanese = client.get(address, {"language": "ja"}).content.decode()
    english = client.get(address, {"language": "en"}).content.decode()
    for words in (
        "1. はじめに",
        "第3水曜日",
        "深夜1:00-5:00",
        "リリース委員会承認必須",
        "S3（本番用）",
        "24時間",
        "8. 更新履歴",
    ):
        assert words in japanese, words
    assert japanese.index("初版リリース") > japanese.index("8. 更新履歴")
    assert "1. Introduction" in english and "8. Change history" in english and 'lang="en"' in english
