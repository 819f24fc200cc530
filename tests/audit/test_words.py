"""A word is found however it is written."""

from __future__ import annotations

import os

import psycopg
import pytest

from audit.words import pattern, patterns

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
    assert len(patterns("承認　 差戻し")) == 2 and patterns(" \u3000") == []
