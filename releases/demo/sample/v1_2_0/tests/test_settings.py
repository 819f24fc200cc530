"""The configuration file."""

import pytest
from dataset_service import settings


def test_it_reads_quoted_values() -> None:
    chosen = settings.parse('# note\n\nA="one \\"two\\" \\\\ \\n"\nB=plain\n')
    assert chosen.text("A") == 'one "two" \\ \n'
    assert chosen.text("B") == "plain"
    assert chosen.number("CACHE_SECONDS") == 5


@pytest.mark.parametrize("line", ["no separator", "9A=1", "=x", 'A="open'])
def test_it_names_the_bad_line(line: str) -> None:
    with pytest.raises(settings.BadSettings, match="line 2"):
        settings.parse(f"\n{line}\n")


@pytest.mark.parametrize("value", ["", "many", "-1", "nan", "1e12"])
def test_it_refuses_a_bad_number(value: str) -> None:
    with pytest.raises(settings.BadSettings, match="PORT"):
        settings.parse(f'PORT="{value}"').number("PORT")


def test_it_names_every_missing_key() -> None:
    with pytest.raises(settings.BadSettings, match="DATABASE_URL, LOG"):
        settings.parse('PORT="1"').require(("DATABASE_URL", "PORT", "LOG"))
