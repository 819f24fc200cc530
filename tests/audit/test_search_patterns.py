"""A word is found however it is written."""

from __future__ import annotations

import os

import psycopg
import pytest

from audit.search_patterns import divided, literals, pattern

SAME = [
    ("ガイド", "ｶﾞｲﾄﾞの改訂"),
    ("ｶﾞｲﾄﾞ", "ガイドの改訂"),
    ("abc", "ＡＢＣ"),
    ("ＡＢＣ", "abc"),
    ("(株)", "㈱サンプル"),
    ("㈱", "(株)サンプル"),
    ("1.4.0", "１．４．０"),
    ("É", "é"),
    ("承認", "内容を承認した"),
    ('"', '{\\"a\\"}'),
]
OTHER = [("カイド", "ガイド"), ("1.4", "1x4"), ("承認", "承 認"), ("a|b", "a"), (".*", "abc"), ("[a]", "a")]


@pytest.fixture(scope="module")
def server() -> psycopg.Connection:
    return psycopg.connect(os.environ["DATABASE_SERVER_URL"], autocommit=True)


@pytest.mark.parametrize(("word", "text"), SAME)
def test_a_word_is_found_in_any_writing(server: psycopg.Connection, word: str, text: str) -> None:
    assert server.execute("SELECT %s ~* %s", [text, pattern(word)]).fetchone() == (True,)


@pytest.mark.parametrize(("word", "text"), OTHER)
def test_nothing_else_is_found(server: psycopg.Connection, word: str, text: str) -> None:
    assert server.execute("SELECT %s ~* %s", [text, pattern(word)]).fetchone() == (False,)


def test_wide_spaces_divide_words() -> None:
    assert divided("承認　 差戻し") == ["承認", "差戻し"] and divided(" \u3000") == []


@pytest.mark.parametrize(("word", "text"), [*SAME, ("見直し", "⾒直し"), ("佐藤", "佐藤 花子"), ("へ", "へ")])
def test_a_word_of_few_writings_is_found_without_a_pattern(word: str, text: str) -> None:
    """Words with letters of two cases, or with many writings, have none."""
    ways = literals(word)
    assert bool(ways) == (word in ("承認", "見直し", "佐藤", "へ", '"'))
    assert not ways or any(way in text for way in ways)


def test_the_few_writings_are_those_of_the_pattern(server: psycopg.Connection) -> None:
    for word in ("見直し", "承認", "利用部門", "一覧", "八幡"):
        ways = literals(word)
        assert ways and len(set(ways)) == len(ways)
        for way in ways:
            assert server.execute("SELECT %s ~* %s", [way, pattern(word)]).fetchone() == (True,)
