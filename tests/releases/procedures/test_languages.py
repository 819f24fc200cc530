"""The faults of a written document are said in the language of their reader."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from functools import partial
from typing import Annotated, Any, Literal

import pytest
from django.conf import settings
from django.utils import translation
from pydantic import Field, NaiveDatetime, TypeAdapter, ValidationError

from environments.targets import words
from releases import check_types, step_types
from releases.procedures.document import Fault, Procedure, ProcedureFaults
from releases.procedures.load import default
from releases.procedures.places import message_of
from releases.procedures.process import Process
from releases.queries.definition_files import parse

from .test_document import CHANGES, RAW
from .test_save import NEW

QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|\{[^}]*\}")
# Two words with a space between them; keys, types and formats are single words.
SENTENCE = re.compile(r"[A-Za-z_]{2,} [A-Za-z_]{2,}")
# What Python says of a regular expression stays as it is.
DETAILS = re.compile(r"(正規表現として読めません：).*")
JAPANESE = re.compile("[ぁ-んァ-ヶ一-龠]")
STEP = {"key": "a", "ja": "い", "en": "A", "estimate_seconds": 1, "required": True}
CHECK = {"key": "a", "ja": "い", "en": "A", "when": "deployment", "maintenance": "after", "required": True}


def is_japanese(message: str) -> bool:
    """Tell whether a message is a Japanese sentence; keys and quoted values are as the author wrote them."""
    return JAPANESE.search(message) is not None and SENTENCE.search(DETAILS.sub(r"\1", QUOTED.sub("", message))) is None


def faults_of(read: Callable[[], object]) -> list[Fault]:
    """Return the faults with which a document is refused."""
    with pytest.raises(ProcedureFaults) as caught:
        read()
    return caught.value.faults


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Return the default procedure with a change."""
    raw = copy.deepcopy(RAW)
    change(raw)
    return raw


def test_no_fault_of_a_procedure_is_english_for_a_japanese_reader() -> None:
    types = {"step_types": step_types.shapes(), "check_types": check_types.shapes(), "events": ["release:announce"]}
    shapes: tuple[Any, ...] = (3, {"colour": 1}, [{"key": "a", "when": {}}], [{}, {"key": "Ä" * 90}])
    documents = [changed(change) for change, _place in CHANGES]
    documents += [{**RAW, section: shape} for section in RAW for shape in shapes]
    with translation.override("ja"):
        found = [faults_of(partial(Procedure.checked, raw, **types)) for raw in documents]
    messages = {fault.message for faults in found for fault in faults}
    assert len(messages) > 120
    assert [message for message in messages if not is_japanese(message)] == []


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("manual", {"task": "look"}),
        ("wait", {}),
        ("wait", {"until": "noon"}),
        ("wait", {"until": "09:00"}),
        ("wait", {"until": "09:00", "zone": "Mars"}),
        ("pipeline_run", {"provider": "gitlab"}),
        ("pipeline_run", {"provider": "github", "project": "a/b"}),
        ("pipeline_run", {"provider": "gitlab", "project": "a/b", "waits_in": "x"}),
        ("ansible_playbook", {"playbook": "/etc"}),
        ("http_call", {"url": "ftp://x"}),
        ("http_call", {"url": "http://0x7f.1/"}),
        ("http_call", {"url": "http://a/", "headers": {"Host": "b"}}),
        ("http_call", {"url": "http://a/", "body": "a", "document": 1}),
        ("http_call", {"url": "http://a/", "headers": {"A": "1", "a": "2"}}),
        ("http_call", {"url": "http://a/", "headers": {"Cookie": "1"}}),
    ],
)
def test_a_step_type_says_what_is_wrong_with_its_parameters(kind: str, parameters: dict[str, Any]) -> None:
    raw = changed(lambda raw: raw["plans"].update(after_deployment=[STEP | {"type": kind, "parameters": parameters}]))
    with translation.override("ja"):
        faults = faults_of(lambda: Procedure.checked(raw, step_types=step_types.shapes()))
    assert any(fault.place.startswith("plans.after_deployment[0].parameters") for fault in faults)
    assert [fault.message for fault in faults if not is_japanese(fault.message)] == []


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("log", {"pattern": "("}),
        ("log", {"at_least": 2}),
        ("http", {"path": "//x"}),
        ("backup", {"files": "/etc/*"}),
        ("sql", {"statement": "DROP TABLE x"}),
        ("sql", {"statement": "SELECT 1"}),
        ("command", {"argv": ["a"], "value": "("}),
        ("command", {"argv": ["a"], "value": "a"}),
        ("command", {"argv": ["a"], "at_most": 1}),
        ("command", {"argv": ["a"], "passes": [1], "unknown": [1]}),
        ("security", {}),
        ("alerts", {"highest": "doom"}),
        ("metrics", {"limits": [{"metric": "error_rate", "at_most": 1}], "source": "tea_leaves"}),
        ("metrics", {"limits": [{"metric": "error_rate", "at_most": 1}], "source_parameters": {"colour": 1}}),
        ("metrics", {"limits": [{"metric": "error_rate", "at_most": 1}], "source": "alerts"}),
        (
            "metrics",
            {
                "limits": [{"metric": "alerts_firing", "at_most": 1}],
                "source": "alerts",
                "source_parameters": {"least": "doom"},
            },
        ),
    ],
)
def test_a_check_type_says_what_is_wrong_with_its_parameters(kind: str, parameters: dict[str, Any]) -> None:
    raw = changed(lambda raw: raw["checks"].append(CHECK | {"type": kind, "parameters": parameters}))
    place = f"checks[{len(RAW['checks'])}].parameters"
    with translation.override("ja"):
        faults = faults_of(lambda: Procedure.checked(raw, check_types=check_types.shapes()))
    assert any(fault.place.startswith(place) for fault in faults)
    assert [fault.message for fault in faults if not is_japanese(fault.message)] == []


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (str, 1),
        (int, "a"),
        (int, 1.5),
        (float, "a"),
        (bool, "perhaps"),
        (tuple[str, ...], 1),
        (list[str], 1),
        (dict[str, str], 1),
        (date, "x"),
        (date, datetime(2026, 1, 1, 1, tzinfo=UTC)),
        (time, "x"),
        (datetime, "x"),
        (Annotated[int, Field(gt=1)], 1),
        (Annotated[int, Field(ge=1)], 0),
        (Annotated[int, Field(lt=1)], 1),
        (Annotated[int, Field(le=1)], 2),
        (Literal["a", "b", "c"], "d"),
        (Annotated[str, Field(max_length=1)], "ab"),
        (Annotated[str, Field(min_length=1)], ""),
        (Annotated[str, Field(pattern="^a$")], "b"),
        (Annotated[str, Field(pattern=r"\S")], " "),
        (Annotated[list[int], Field(max_length=1)], [1, 2]),
        (Annotated[list[int], Field(min_length=1)], []),
        (Annotated[float, Field(allow_inf_nan=False)], float("nan")),
    ],
)
def test_the_usual_errors_of_pydantic_have_sentences_of_ours(form: Any, value: object) -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(form).validate_python(value)
    (error,) = refused.value.errors()
    assert message_of(error) not in ("", error["msg"])
    with translation.override("ja"):
        assert JAPANESE.search(message_of(error)) and "%(" not in message_of(error)


def test_a_worker_records_the_sentence_of_a_validator_in_english() -> None:
    """It stores what it could not run; pages put it into the language of their reader."""
    words.record()
    try:
        with translation.override("ja"), pytest.raises(ValidationError) as refused:
            step_types.by_name("wait").parameters()  # type: ignore[call-arg]
    finally:
        words.record(False)
    stored = str(refused.value)
    assert '⟦["name seconds or until, one of the two"]⟧' in stored and not JAPANESE.search(stored)
    with translation.override("ja"):
        assert "seconds か until のどちらか一方を書いてください" in words.in_words(stored)


def test_an_error_without_a_sentence_of_ours_keeps_that_of_pydantic() -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(NaiveDatetime).validate_python(datetime(2026, 1, 1, tzinfo=UTC))
    assert [message_of(error) for error in refused.value.errors()] == ["Input should not have timezone info"]


def test_places_are_in_the_language_of_the_reader() -> None:
    text = 'format = 1\nversion = "two"\n'
    with translation.override("ja"):
        whole = {str(fault) for fault in faults_of(lambda: Procedure.from_toml(text))}
        files = {fault.place for fault in faults_of(lambda: Procedure.from_toml({"a.toml": text}))}
        (broken,) = faults_of(lambda: Procedure.from_toml("format = = 1"))
    assert "version（2行目）：1.2.3 のようなセマンティックバージョンではありません" in whole
    assert "version（a.toml、2行目）" in files
    assert broken.place == "（本文）" and broken.message.startswith("TOML として読み取れません：")


def test_a_fault_of_the_procedure_is_recognised_by_its_path() -> None:
    """The words of its place differ with the language."""
    for language, said in (
        ("en", "of the process's own"),
        ("ja", "デプロイプロセスに専用の triggers を書いてください"),
    ):
        with translation.override(language):
            faults = faults_of(
                lambda: Process.from_toml('format = 1\nmetrics = [{ key = "x", ja = "x", en = "x" }]\n', default())
            )
        assert any(fault.place.startswith("triggers[") and said in fault.message for fault in faults), faults
        assert all(said not in fault.message for fault in faults if fault.place.startswith("metrics")), faults


def test_faults_of_processes_and_definitions_are_japanese_too(world: Any) -> None:
    application = 'name = "Shop"\nrepository = "https://git.example.com/shop"\n'
    files = (
        {"other.toml": ""},
        {"applications/a b.toml": application},
        {"applications/shop.toml": application + "surprise = 1\n"},
        {"applications/shop.toml": application.replace("Shop", "Sh\\u202eop")},
        {"calendar.toml": '[[freezes]]\nname = "x"\nenvironment = "production"\nreason = "y"\n'},
        {"calendar.toml": '[[freezes]]\nname = "x"\nbegins = 2027-01-01T00:00:00\n'},
        {"procedures/tools/a.toml": 'format = 1\nkey = "tools"\n'},
        {"procedure/a.toml": "format = 1\n"},
        *(
            {"processes/shop.toml": f"format = 1\n{text}\n"}
            for text in (
                'artefact = "image"',
                'variables = [{ name = "a", value = "1", environments = ["moon"] }]',
                'variables = [{ name = "a", value = "1" }, { name = "a", value = "2" }]',
                'strategy.batches = ["many"]',
                "roles = []",
            )
        ),
    )
    with translation.override("ja"):
        found = [fault for one in files for fault in faults_of(partial(parse, one))]
    assert len(found) >= len(files)
    assert [fault.message for fault in found if not is_japanese(fault.message)] == []


@pytest.mark.parametrize(
    ("language", "said", "unsaid"),
    [("ja", ("（1行目）", "値がありません"), "is missing"), ("en", ("(line 1)", "is missing"), "値がありません")],
)
def test_the_page_of_a_new_version_shows_faults_to_each_reader(
    world: Any, browsers: Any, language: str, said: tuple[str, ...], unsaid: str
) -> None:
    manager = browsers("manager")
    manager.cookies[settings.LANGUAGE_COOKIE_NAME] = language
    for more in ({"try": "1"}, {}):
        html = manager.post(NEW, {"content": "format = 2", "reason": "new rules", **more}).content.decode()
        assert all(words in html for words in said) and unsaid not in html, html
