"""Migrations are read for irreversible parts: Django's operations and plain SQL, without running them."""

from __future__ import annotations

from pathlib import Path

import pytest

from releases.sources import git
from releases.sources.migrations import findings, is_migration, report
from tests.releases.step_types.conftest import git as git_on

HEAD = "from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n    operations = [\n"


def of(operation: str) -> list[tuple[str, str]]:
    """Return the finding about one of Django's operations: (effect, words)."""
    return [(f.effect, f.what) for f in findings("a/migrations/0002_x.py", f"{HEAD}        {operation},\n    ]\n")]


@pytest.mark.parametrize(
    "operation",
    [
        "migrations.CreateModel(name='Tag', fields=[])",
        "migrations.AddField('dataset', 'state', models.CharField(default='open'))",
        "migrations.RenameField('dataset', 'a', 'b')",
        "migrations.RemoveIndex('dataset', 'dataset_title')",
        "migrations.RunPython(forwards, backwards)",
        "migrations.RunPython(forwards, reverse_code=backwards)",
        "migrations.RunSQL('CREATE INDEX a ON b (c)', 'DROP INDEX a')",
        "migrations.SeparateDatabaseAndState(state_operations=[migrations.DeleteModel('x')])",
    ],
)
def test_a_reversible_operation_is_no_finding(operation: str) -> None:
    assert of(operation) == []


@pytest.mark.parametrize(
    ("operation", "effect", "words"),
    [
        ("migrations.RunPython(forwards)", "one_way", "RunPython without a reverse"),
        ("migrations.RunPython(forwards, None)", "one_way", "RunPython without a reverse"),
        ("migrations.RunPython(f, migrations.RunPython.noop)", "loses", "reverse does nothing"),
        ("migrations.RunSQL('CREATE INDEX a ON b (c)')", "one_way", "RunSQL without a reverse"),
        ("migrations.RunSQL('DROP TABLE a', 'CREATE TABLE a (b int)')", "loses", "DROP TABLE a"),
        ("migrations.RunSQL(['UPDATE a SET b = 1'], ['SELECT 1'])", "loses", "UPDATE a SET b = 1"),
        ("migrations.RunSQL(read('x.sql'), 'SELECT 1')", "unknown", "computed"),
        ("migrations.DeleteModel('Tag')", "loses", "DeleteModel Tag"),
        ("migrations.RemoveField(model_name='dataset', name='state')", "loses", "RemoveField dataset.state"),
        ("migrations.AlterField('dataset', 'title', models.CharField(max_length=3))", "unknown", "AlterField"),
        ("migrations.SeparateDatabaseAndState([migrations.DeleteModel('x')], [])", "loses", "DeleteModel x"),
        ("mine.Erase('x')", "unknown", "Erase"),
        ("*more", "unknown", "computed"),
    ],
)
def test_an_irreversible_operation_is_named(operation: str, effect: str, words: str) -> None:
    found = of(operation)
    assert effect in [one for one, _what in found] and any(words in what for _one, what in found), found


@pytest.mark.parametrize(
    "text",
    [
        "def forwards(connection):\n    connection.execute('DROP TABLE a')\n",
        "class Migration:\n    operations = make()\n",
        "class Migration:\n    dependencies = []\n",
        "class Migration(\n",
        "\0",
        f"{HEAD}    ]\n\n    def apply(self, *given):\n        erase()\n",
    ],
)
def test_a_computed_operation_is_unknown_and_never_harmless(text: str) -> None:
    assert {finding.effect for finding in findings("migrations/x.py", text)} == {"unknown"}
    assert [finding.effect for finding in findings("migrations/x.py", None)] == ["unknown"]


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE a (b int); ALTER TABLE a ADD COLUMN c int; CREATE INDEX d ON a (b);",
        "-- DROP TABLE a;\n/* TRUNCATE a; */ INSERT INTO a VALUES ('DELETE FROM a; DROP TABLE b');",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ DELETE FROM a; $$;",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $x$ DROP TABLE a; $x$;",
        "DROP INDEX d; DROP VIEW v; ALTER TABLE a DROP CONSTRAINT c; ALTER TABLE a ALTER b DROP NOT NULL;",
        "ALTER TABLE a ALTER COLUMN b SET DEFAULT 1; COMMENT ON TABLE a IS 'UPDATE a SET b = 1';",
        "",
    ],
)
def test_additive_sql_is_no_finding(text: str) -> None:
    assert findings("migrations/0001.sql", text) == []


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("DROP TABLE a", "loses"),
        ("drop\n  table if exists a cascade;", "loses"),
        ("ALTER TABLE a DROP COLUMN b;", "loses"),
        ("ALTER TABLE a ADD c int, DROP b;", "loses"),
        ("TRUNCATE a;", "loses"),
        ("DELETE FROM a WHERE b;", "loses"),
        ("UPDATE a SET b = 1;", "loses"),
        ("UPDATE ONLY public.a AS x SET b = 1;", "loses"),
        ("WITH gone AS (DELETE FROM a RETURNING *) SELECT 1;", "loses"),
        ("INSERT INTO a VALUES (1) ON CONFLICT (b) DO UPDATE SET c = 1;", "loses"),
        ("MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE;", "loses"),
        ("DROP SCHEMA s CASCADE;", "loses"),
        ("DROP MATERIALIZED VIEW v;", "loses"),
        ("ALTER TABLE a ALTER COLUMN b TYPE int USING 0;", "unknown"),
        ("ALTER TABLE a ALTER b SET DATA TYPE varchar(3);", "unknown"),
        ("ALTER TYPE t ADD VALUE 'x';", "one_way"),
        ("DO $$ BEGIN EXECUTE 'DROP TABLE a'; END $$;", "unknown"),
        ("CALL erase();", "unknown"),
        ("\\i other.sql", "unknown"),
    ],
)
def test_destructive_sql_is_named_with_its_line(text: str, effect: str) -> None:
    found = findings("migrations/0001.sql", f"CREATE TABLE z (a int);\n\n{text}")
    assert [(finding.effect, finding.line) for finding in found] == [(effect, 3)]


def test_only_files_of_a_migrations_folder_are_read() -> None:
    assert is_migration("app/migrations/0001_initial.py") and is_migration("migrations/0002_tags.sql")
    assert is_migration("migrations/0002_tags.up.sql")
    for path in (
        "migrations/__init__.py",
        "app/models.py",
        "migrations.py",
        "migrations/x.down.sql",
        "migrations/a.md",
    ):
        assert not is_migration(path), path


def test_the_migrations_between_two_commits_are_read_from_git_alone(tmp_path: Path) -> None:
    git_on(tmp_path, "init", "-q", "-b", "main")
    folder = tmp_path / "app" / "migrations"
    folder.mkdir(parents=True)
    (folder / "0001.sql").write_text("DROP TABLE before;")
    first = committed(tmp_path)
    (folder / "0002.sql").write_text("DROP TABLE a;")
    (folder / "0003.sql").write_bytes(b"\xff\xfe")
    second = committed(tmp_path)
    (folder / "0002.sql").write_text("never committed")
    assert report(git.changed_files(tmp_path, first, second, is_migration)) == [
        {"path": "app/migrations/0002.sql", "findings": [{"what": "DROP TABLE a", "line": 1, "effect": "loses"}]},
        {"path": "app/migrations/0003.sql", "findings": [{"what": "cannot be read", "line": 0, "effect": "unknown"}]},
    ]
    whole = report(git.changed_files(tmp_path, None, first, is_migration))
    assert [row["path"] for row in whole] == ["app/migrations/0001.sql"]


def committed(repository: Path) -> str:
    git_on(repository, "add", "-A")
    git_on(repository, "commit", "-qm", "more")
    return git_on(repository, "rev-parse", "HEAD")
