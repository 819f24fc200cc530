"""`python -m releases.demo.story`: plays a release from plan to production and back, and writes report.json."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from rich.console import Console
from rich.table import Table

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from releases.demo.chapters import approve, audit, deploy, plan, prove, roll_back, setup, survive  # noqa: E402
from releases.demo.site import StoryFailed  # noqa: E402
from releases.demo.stage import Stage  # noqa: E402
from releases.demo.targets import clean  # noqa: E402

Play = Callable[[Stage], dict[str, Any]]
CHAPTERS: tuple[tuple[str, Play], ...] = (
    ("Set up", setup.play),
    ("Plan", plan.play),
    ("Prove", prove.play),
    ("Approve", approve.play),
    ("Deploy", deploy.play),
    ("Survive", survive.play),
    ("Roll back", roll_back.play),
    ("Audit", audit.play),
)


def run_story(stage: Stage, console: Console) -> dict[str, Any]:
    """Play the chapters; a failed chapter does not prevent the later ones."""
    chapters = []
    for number, (name, play) in enumerate(CHAPTERS, 1):
        console.print(f"[bold]{number}/{len(CHAPTERS)}[/bold] {name} …")
        began = time.monotonic()
        stage.faults.clear()
        try:
            chapter: dict[str, Any] = {"name": name, "ok": True, "proof": play(stage)}
        except StoryFailed as fault:
            chapter = {"name": name, "ok": False, "proof": {"failed": str(fault)}}
        except Exception as fault:  # noqa: BLE001  the report must say what no chapter foresaw
            place = traceback.format_exc().strip().splitlines()[-3:]
            chapter = {"name": name, "ok": False, "proof": {"failed": repr(fault), "at": place}}
        if stage.faults:
            chapter["ok"] = False
            chapter["proof"] = {"failed": " | ".join(stage.faults), **chapter["proof"]}
        chapter["seconds"] = round(time.monotonic() - began, 1)
        chapters.append(chapter)
        console.print(f"    {'holds' if chapter['ok'] else '[red]does not hold[/red]'} in {chapter['seconds']} s")
        if not chapter["ok"]:
            console.print(f"    {chapter['proof']['failed']}", markup=False)
    return {"chapters": chapters, "ok": all(chapter["ok"] for chapter in chapters)}


def show(report: dict[str, Any], console: Console) -> None:
    """Print the table of chapters with the proof of each."""
    table = Table(title="Ringi", show_lines=True)
    for heading in ("Chapter", "Holds", "s", "Proof"):
        table.add_column(heading, overflow="fold")
    for chapter in report["chapters"]:
        lines = [f"{key}: {value}" for key, value in chapter["proof"].items()]
        table.add_row(chapter["name"], "yes" if chapter["ok"] else "NO", str(chapter["seconds"]), "\n".join(lines))
    console.print(table)


def main() -> int:
    """Play the story, or stop the processes that an earlier one left running."""
    parser = argparse.ArgumentParser(prog="python -m releases.demo.story")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--base-url", default="")
    parser.add_argument("--clean", action="store_true")
    options = parser.parse_args()
    state = options.state.resolve()
    if options.clean:
        clean(state)
        return 0
    # This process has no apps and so no catalogue: translated texts of its own steps would fail.
    settings.USE_I18N = False
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    stage = Stage(state, options.base_url.rstrip("/"))
    report = run_story(stage, console)
    (state / "report.json").write_text(json.dumps(report, ensure_ascii=False, indent=2, default=str) + "\n", "utf-8")
    show(report, console)
    people = Table(title=f"Sign in at {stage.base_url}/ (shown this once; the key is for an authenticator app)")
    for heading in ("Sign-in", "Name", "Password", "Key of the second factor"):
        people.add_column(heading)
    for person in stage.people.values():
        people.add_row(person.username, person.name, person.password, person.factor)
    console.print(people)
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
