"""The commands of the service: serve, migrate, seed."""

import argparse
import sys
from pathlib import Path

import psycopg

from dataset_service import migrate, seed, settings
from dataset_service.answers import Parts
from dataset_service.app import Application
from dataset_service.cache import Cache
from dataset_service.counters import Counters
from dataset_service.journal import Journal
from dataset_service.server import Server, serve
from dataset_service.store import Store
from dataset_service.version import VERSION

NOT_CURRENT = 3


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def run_serve(chosen: settings.Settings, arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    chosen.require()
    counters = Counters(max(1, int(chosen.number("THREADS"))))
    cache = Cache(chosen.number("CACHE_SECONDS"))
    parts = Parts(Store(chosen.text("DATABASE_URL")), cache, chosen)
    journal = Journal(Path(chosen.text("LOG")))
    application = Application(parts, counters, journal, Path(chosen.text("MAINTENANCE")))
    server = Server((chosen.text("BIND"), int(chosen.number("PORT"))), application)
    parts.store.open()
    said = f"version {VERSION} serves on port {server.server_port}"
    try:
        serve(server, lambda: counters.busy, lambda: journal.line("INFO", said))
    finally:
        parts.store.close()
        journal.line("INFO", f"version {VERSION} stopped")
        journal.close()
    return 0


def run_migrate(chosen: settings.Settings, arguments: argparse.Namespace) -> int:
    """Migrate, or only check."""
    url = chosen.text("DATABASE_URL")
    if arguments.check:
        current = migrate.is_current(url)
        say("the database is at this schema" if current else "the database is not at this schema")
        return 0 if current else NOT_CURRENT
    count = migrate.migrate(url, pause=chosen.number("BATCH_PAUSE"), report=say)
    say(f"{count} migrations applied")
    return 0


def run_seed(chosen: settings.Settings, arguments: argparse.Namespace) -> int:
    """Fill an empty catalogue."""
    count = seed.seed(chosen.text("DATABASE_URL"), rows=arguments.rows, number=arguments.seed)
    say(f"{count} datasets added")
    return 0


def main(words: list[str]) -> int:
    """Run one command; return 0, 1 when it failed, 2 when the configuration can't be used, 3 for a check."""
    parser = argparse.ArgumentParser(prog="dataset_service")
    commands = parser.add_subparsers(required=True)
    for name, function in (("serve", run_serve), ("migrate", run_migrate), ("seed", run_seed)):
        command = commands.add_parser(name)
        command.set_defaults(function=function)
        command.add_argument("--config", type=Path, required=True)
        if name == "migrate":
            command.add_argument("--check", action="store_true")
        if name == "seed":
            command.add_argument("--rows", type=int, default=3000)
            command.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args(words)
    try:
        return arguments.function(settings.read(arguments.config), arguments)
    except settings.BadSettings as error:
        print(f"dataset_service: {error}", file=sys.stderr)
        return 2
    except (psycopg.Error, migrate.Ahead, OSError) as error:
        print(f"dataset_service: {error}", file=sys.stderr)
        return 1
