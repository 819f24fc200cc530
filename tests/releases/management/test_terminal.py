"""Commands print in the language of their terminal."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from releases.management.terminal import terminal_language

JAPANESE = re.compile("[ぁ-んァ-ヶ一-龠]")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what sets the variables of the terminal; those that are not named are not set."""

    def speaks(**variables: str) -> None:
        for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return speaks


def said(*words: str, **options: Any) -> str:
    """Return what a command prints, or with what it ends."""
    out = io.StringIO()
    try:
        call_command(*words, stdout=out, **options)
    except CommandError as refused:
        return str(refused)
    except SystemExit:
        pass
    return out.getvalue().strip()


@pytest.mark.parametrize(
    ("variables", "language"),
    [
        ({}, "en"),
        ({"LANG": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LC_MESSAGES": "ja_JP", "LANG": "en_GB.UTF-8"}, "ja"),
        ({"LC_MESSAGES": "de_DE.UTF-8", "LANG": "ja_JP.UTF-8"}, "en"),
        ({"LC_ALL": "en_US.UTF-8", "LC_MESSAGES": "ja_JP.UTF-8", "LANG": "ja_JP.UTF-8"}, "en"),
        ({"LC_ALL": "", "LC_MESSAGES": "", "LANG": "ja_JP.UTF-8"}, "ja"),
    ],
)
def test_the_first_variable_that_is_set_decides(terminal: Any, variables: dict[str, str], language: str) -> None:
    terminal(**variables)
    assert terminal_language() == language


def test_procedure_and_definition_speak_one_language(world: Any, terminal: Any, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("format = 2\n", encoding="utf-8")
    default = "releases/procedures/default"
    for variables, words in (
        (
            {"LC_ALL": "ja_JP.UTF-8"},
            (
                "手順書 1.0.1：誤りはありません",
                "手順書 1.0.1 と異なる行：0件",
                "手順書に誤りがあります：",
                "（a.toml、1行目）：",
            ),
        ),
        (
            {"LANG": "en_GB.UTF-8"},
            (
                "procedure 1.0.1: no fault",
                "0 rows differ from procedure 1.0.1",
                "the procedure has faults:",
                " (a.toml, line 1): ",
            ),
        ),
    ):
        terminal(**variables)
        assert said("procedure", "check", default) == words[0]
        assert said("procedure", "diff", default) == words[1]
        faults = said("procedure", "check", str(tmp_path))
        assert faults.startswith(words[2]) and words[3] in faults
        assert bool(JAPANESE.search(faults)) == ("LC_ALL" in variables)
        plan = said("definition", "plan", str(tmp_path))
        assert bool(JAPANESE.search(plan)) == ("LC_ALL" in variables) and "other.toml" not in plan
        for words_of_command in (
            ("definition", "plan"),
            ("definition", "export"),
            ("procedure", "export", str(tmp_path)),
        ):
            answer = said(*words_of_command)
            assert answer and bool(JAPANESE.search(answer)) == ("LC_ALL" in variables), answer


def test_the_doctor_prints_to_people_and_writes_json_for_programs(world: Any, terminal: Any, settings: Any) -> None:
    settings.HEARTBEAT_TIMEOUT = 90.0
    terminal(LANG="en_GB.UTF-8")
    english, rows = said("doctor"), json.loads(said("doctor", "--json"))["findings"]
    terminal(LANG="ja_JP.UTF-8")
    japanese, again = said("doctor"), json.loads(said("doctor", "--json"))["findings"]
    assert not JAPANESE.search(english) and english.count("\nFAILED   ") + english.startswith("FAILED")
    assert "\n異常" in japanese and "\n正常" in japanese and "FAILED" not in japanese
    assert [row["name"] for row in rows] == [row["name"] for row in again]
    assert not any(JAPANESE.search(row["name"] + row["words"] + row["advice"]) for row in again)
