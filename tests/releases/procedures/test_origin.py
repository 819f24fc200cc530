"""A value that differs from the version in effect is not shown as the written procedure's."""

from __future__ import annotations

from releases.procedures.document import Procedure
from releases.procedures.load import default, default_text
from releases.procedures.origin import marked
from tests.releases.procedures.walking import origins


def edited(*replacements: tuple[str, str], edition: str = "default") -> Procedure:
    """Return the default procedure, edited as a text and marked against the default itself."""
    text = default_text().replace('version = "1.0.1"\n', 'version = "1.1.0"\n', 1)
    text += f'[[history]]\ndate = 2026-12-01\nversion = "1.1.0"\nja = "改訂"\nen = "Revised"\norigin = "{edition}"\n'
    for wanted, put in replacements:
        assert wanted in text
        text = text.replace(wanted, put, 1)
    return marked(Procedure.from_toml(text), default())


def test_only_the_changed_field_becomes_a_ringi_default() -> None:
    found = edited(('value = "0.90"', 'value = "0.80"'))
    changed = next(row for row in found.thresholds if row.key == "coverage_min")
    assert changed.origin == "written" and "value" in changed.default_fields
    assert origins(found) - origins(default()) == {("history[2]", "default")}


def test_a_section_and_a_nested_label_are_compared_as_well() -> None:
    found = edited(
        ("duration_seconds = 86400", "duration_seconds = 24"),
        ('time.ja = "深夜1:00-5:00"', 'time.ja = "深夜2:00-4:00"'),
    )
    assert "duration_seconds" in found.monitoring.default_fields
    assert found.schedule.regular.time.default_fields == ("ja",) and "time" not in found.schedule.regular.default_fields


def test_a_new_row_is_a_ringi_default() -> None:
    row = '[[checklist]]\nkey = "dependencies"\n'
    words = 'ja = "ライセンス"\nen = "Licences"\ngroup = "technical"\norigin = "written"\n'
    found = edited((row, f'[[checklist]]\nkey = "licences"\n{words}\n{row}'))
    assert {row.key: row.origin for row in found.checklist}["licences"] == "default"


def test_a_ringi_default_does_not_become_a_value_of_the_written_procedure() -> None:
    tester = 'en = "Tester"\naccount = "person"\norigin = '
    found = edited(('milestones_due", "name"]', 'name"]'), (f'{tester}"default"', f'{tester}"written"'))
    assert "milestones_due" in found.schedule.regular.default_fields
    assert next(row for row in found.roles if row.key == "tester").origin == "default"


def test_a_new_edition_of_the_written_procedure_states_its_own_origins() -> None:
    found = edited(('value = "0.90"', 'value = "0.95"'), edition="written")
    assert "value" not in next(row for row in found.thresholds if row.key == "coverage_min").default_fields
