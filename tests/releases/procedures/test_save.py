"""A procedure written as TOML reads back as the same procedure."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from releases.models import Procedure as Row
from releases.procedures.document import Procedure as Content
from releases.procedures.load import DEFAULT, default, digest, read
from releases.procedures.save import as_files, as_text
from tests.releases.operations.test_own_roles import bank

NEW = "/admin/operation/procedure/load/"


@pytest.mark.parametrize("content", [default(), bank()], ids=["default", "with a role of its own"])
def test_what_is_written_reads_back_the_same(content: Content) -> None:
    files = as_files(content)
    assert files.keys() == {file.name for file in DEFAULT.glob("*.toml")}
    assert digest(Content.from_toml(files)) == digest(Content.from_toml(as_text(content))) == digest(content)
    assert not any("default_fields = []" in text for text in files.values())


def command(*arguments: str) -> str:
    """Run `manage.py procedure` and return what it prints."""
    out = StringIO()
    call_command("procedure", *arguments, stdout=out)
    return out.getvalue().strip()


def test_the_command_exports_checks_and_compares(world: Any, tmp_path: Path) -> None:
    folder = tmp_path / "ours"
    assert "was written into" in command("export", str(folder))
    assert digest(read(folder)) == Row.objects.get(state="in_effect").digest
    with pytest.raises(CommandError, match="is there already"):
        command("export", str(folder))
    assert command("check", str(folder)) == "procedure 1.0.1: no fault"
    assert command("diff", str(folder)) == "0 rows differ from procedure 1.0.1"
    file = folder / "2-06-approval_rules.toml"
    file.write_text(file.read_text(encoding="utf-8").replace("number = 2", "number = 3", 1), encoding="utf-8")
    assert "approval_rules › regular · production · 1 · committee › number: 2 → 3" in command("diff", str(folder))
    file.write_text("approval_rules = []\n", encoding="utf-8")
    with pytest.raises(CommandError, match="approval_rules"):
        command("check", str(folder))


def test_on_a_running_system_a_file_becomes_a_draft_and_the_command_says_so(world: Any, tmp_path: Path) -> None:
    for name, text in as_files(bank()).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert command("load", str(tmp_path), "--put-into-effect") == (
        f"procedure 1.0.1 is in effect; {tmp_path.name} was not loaded"
    )
    assert not Row.objects.filter(version="9.0.0").exists()
    with pytest.raises(CommandError, match="those who wrote the change"):
        command("load", str(tmp_path))
    said = command("load", str(tmp_path), "--author", "developer")
    assert said == "procedure 9.0.0 draft; submit it for approval on its page"
    assert Row.objects.get(version="9.0.0").writers == [world.people["developer"].pk]
    assert command("load", str(tmp_path), "--author", "developer") == said
    with pytest.raises(CommandError, match="with other authors"):
        command("load", str(tmp_path), "--author", "developer", "--author", "tester")


def test_the_page_starts_from_the_version_in_effect_and_checks_without_storing(world: Any, browsers: Any) -> None:
    manager = browsers("manager")
    shown = manager.get(NEW).content.decode()
    assert "version = &quot;1.0.1&quot;" in shown
    for text, found in ((as_text(bank()), "The document has no fault."), ("format = 2", "is missing")):
        html = manager.post(NEW, {"content": text, "reason": "looks", "try": "1"}).content.decode()
        assert found in html, html
    assert Row.objects.count() == 1
    answer = manager.get(reverse("procedure-download", args=[Row.objects.get().pk]))
    assert digest(Content.from_toml(answer.content.decode())) == Row.objects.get().digest
