"""The set-ups in the administrators' pages and compose.yaml name existing variables, commands, roles and secrets."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
import yaml
from django.core.management import get_commands
from psycopg import sql

from config.development.rows import rows
from environments.queues import OWN_QUEUES
from releases.procedures.load import default

ROOT = Path(__file__).resolve().parents[2]
HOW_TO = ROOT / "docs" / "how-to"
PAGES = ("install.md", "run.md", "recover.md", "upgrade.md")
FILE = ROOT / "docs" / "how-to" / "compose.yaml"
UNITS = ROOT / "docs" / "how-to" / "systemd"
SERVERS = {"postgres", "valkey"}
QUEUES = (*(place.key for place in default().environments), *OWN_QUEUES)
OPEN = ("RINGI_BASE_URL", "RINGI_LIVE_URL")
ONCE = {"migrate", "procedure", "static"}
ROLE_OF = {
    "migrate": "ringi_owner",
    "procedure": "ringi",
    "static": "ringi",
    "web": "ringi",
    "live": "ringi",
    "ledger_signer": "ringi_ledger_signer",
    "scheduler": "ringi_scheduler",
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The compose file, its anchors resolved."""
    read: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return read


@pytest.fixture(scope="module")
def ours(compose: dict[str, Any]) -> dict[str, Any]:
    """The services that run Ringi."""
    return {name: one for name, one in compose["services"].items() if name not in SERVERS}


def documented() -> set[str]:
    """Return the variables of settings.md."""
    text = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    lines = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for line in lines for name in re.findall(r"`([A-Z][A-Z_]+)`", line)}


def read_by_the_code() -> set[str]:
    """Return the variables that the product reads."""
    files = [
        *(ROOT / "config").rglob("*.py"),
        *(ROOT / "environments" / "targets" / f"{name}.py" for name in ("sandbox", "container")),
    ]
    pattern = re.compile(r"env\.\w+\(\s*\"([A-Z_]+)\"|environ(?:ment)?(?:\.get\(|\[)\"([A-Z_]+)\"")
    return {a or b for file in files for a, b in pattern.findall(file.read_text(encoding="utf-8"))}


def sound(command: list[str]) -> None:
    """Check that a command line of Ringi is one that can be given."""
    program, *words = command
    assert program.endswith("python"), command
    if words[0] == "manage.py":
        assert words[1] in get_commands(), command
        if words[1] == "worker":
            assert words[2] in {*QUEUES, "%i"}, command
    else:
        assert words[0] == "-m" and importlib.util.find_spec(words[1]), command
        if words[1] in ("gunicorn", "uvicorn"):
            module, _colon, _name = words[2].partition(":")
            assert importlib.util.find_spec(module), command
            options = shlex.join(words).replace("=", " ").split()
            if "--logger-class" in options:
                assert options[options.index("--logger-class") + 1] == "config.web_log.WebLogger"


def test_every_setting_is_documented_and_every_documented_one_is_read() -> None:
    known, read = documented(), read_by_the_code()
    kept_for_make = {"RINGI_DEMO"}
    assert read - known - kept_for_make == set()
    for name in known - read:
        assert name.startswith("DATABASE_"), f"{name} is documented, and nobody reads it"


def test_each_process_is_a_service_with_the_role_that_it_may_have(ours: dict[str, Any]) -> None:
    assert set(ours) - ONCE == {row.name for row in rows(3, 4, QUEUES)}
    for name, one in ours.items():
        role = ROLE_OF.get(name, "ringi_worker")
        assert one["environment"]["DATABASE_URL_FILE"] == f"/run/secrets/url_{role}", name
        assert [secret for secret in one["secrets"] if secret.startswith("url_")] == [f"url_{role}"], name
        assert one["environment"]["RINGI_PROCESS"] == name
        assert one["image"] == "ringi" and ("build" in one) == (name == "migrate")
        assert one["restart"] == ("no" if name in ONCE else "unless-stopped")


def test_each_queue_has_its_worker(ours: dict[str, Any]) -> None:
    queues = [one["command"][3] for name, one in ours.items() if name.startswith("worker-")]
    assert sorted(queues) == sorted(QUEUES)


def test_every_variable_is_a_setting_and_every_command_is_one(ours: dict[str, Any]) -> None:
    known = documented()
    for name, one in ours.items():
        assert {variable.removesuffix("_FILE") for variable in one["environment"]} <= known, name
        sound(one["command"])


def test_no_secret_stands_in_the_file_and_each_that_is_used_is_one_of_the_list(compose: dict[str, Any]) -> None:
    used = set()
    for name, one in compose["services"].items():
        used |= set(one.get("secrets", ()))
        for variable, value in one.get("environment", {}).items():
            if any(word in variable for word in ("PASSWORD", "KEY", "URL", "TOKEN")) and variable not in OPEN:
                assert variable.endswith("_FILE"), (name, variable)
                assert value.removeprefix("/run/secrets/") in one["secrets"], (name, variable)
    assert used == set(compose["secrets"])
    places = {name: secret["file"] for name, secret in compose["secrets"].items()}
    asked = "${RINGI_SECRETS:?a folder outside of the project}"
    assert places == {name: f"{asked}/{name}" for name in used}, "no secret lies where the image is built"
    assert not re.search(r"://[^/\s]*:[^/\s]*@", FILE.read_text(encoding="utf-8"))


def test_dependencies_and_mounts_are_there(compose: dict[str, Any], ours: dict[str, Any]) -> None:
    for one in ours.values():
        assert set(one["depends_on"]) <= set(compose["services"])
        for volume in one.get("volumes", ()):
            assert volume.split(":")[0] in compose["volumes"]
    signing = [
        name for name, one in ours.items() if "ledger_signer:/var/lib/ringi/ledger_signer" in one.get("volumes", ())
    ]
    assert signing == ["ledger_signer"]


def script_of_secrets() -> str:
    """Return the lines of the page that make the secrets."""
    return re.findall(
        r"```sh\n(mkdir -m 700 secrets.*?)```", (HOW_TO / "install.md").read_text(encoding="utf-8"), re.DOTALL
    )[0]


def test_the_page_makes_every_secret(compose: dict[str, Any], tmp_path: Path) -> None:
    subprocess.run(["sh", "-euc", script_of_secrets()], cwd=tmp_path, check=True)
    made = {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}
    assert set(made) - set(compose["secrets"]) == {"url_ringi_auditor"}, "for the auditors themselves"
    assert set(compose["secrets"]) <= set(made)
    for role in ("ringi_owner", "ringi", "ringi_worker", "ringi_scheduler", "ringi_ledger_signer"):
        url = urlsplit(made[f"url_{role}"])
        assert (url.username, url.password) == (role, made[f"password_{role}"])
        assert (url.hostname, url.port, url.path) == ("postgres", 5432, "/ringi")
    assert f"requirepass {urlsplit(made['redis_url']).password}\n" in made["valkey_conf"]
    assert len(made["secret_key"]) >= 48 and len(set(made.values())) == len(made)


def test_the_script_makes_the_roles_and_the_database(compose: dict[str, Any], tmp_path: Path) -> None:
    """Run for real, with names of the test's own in place of the roles."""
    mark = f"c{uuid4().hex[:8]}"
    roles = [f"{mark}_{name}" for name in ("owner", "web", "worker", "scheduler", "ledger_signer", "auditor")]
    names = ["ringi_owner", "ringi", "ringi_worker", "ringi_scheduler", "ringi_ledger_signer", "ringi_auditor"]
    script = compose["configs"]["roles"]["content"].replace("$$", "$").replace("/run/secrets", str(tmp_path))
    script = script.replace(" ".join(names), " ".join(roles))
    script = script.replace("DATABASE ringi OWNER ringi_owner", f"DATABASE {mark} OWNER {roles[0]}")
    for role in roles:
        (tmp_path / f"password_{role}").write_text(f"a'word of \\{role}")
    server = os.environ["DATABASE_SERVER_URL"]
    place = urlsplit(server)
    given = {"PGHOST": str(place.hostname), "PGPORT": str(place.port), "PGPASSWORD": str(place.password)}
    programs = {"PATH": f"{os.environ['POSTGRES_BIN']}:{os.environ['PATH']}"}
    try:
        subprocess.run(["sh", "-c", script], env=os.environ | given | programs, check=True, stdin=subprocess.DEVNULL)
        for role in roles:
            word = f"a'word of \\{role}"
            with psycopg.connect(server, dbname=mark, user=role, password=word) as connection:
                found = connection.execute(
                    "SELECT pg_get_userbyid(datdba)::text, datcollate::text, pg_encoding_to_char(encoding)::text,"
                    " (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user)"
                    " FROM pg_database WHERE datname = current_database()"
                ).fetchone()
            assert found == (roles[0], "C.UTF-8", "UTF8", False)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(mark)))
            for role in roles:
                connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


def test_the_units_and_the_environment_of_the_page() -> None:
    text = "\n".join((HOW_TO / page).read_text(encoding="utf-8") for page in PAGES)
    files = [file.read_text(encoding="utf-8") for file in UNITS.iterdir()]
    blocks = "\n".join([*re.findall(r"```ini\n(.*?)```", text, re.DOTALL), *files]).replace("\\\n", "")
    known = documented()
    for line in blocks.splitlines():
        name, _equals, value = line.strip().partition("=")
        names = [one.partition("=")[0] for one in value.split()] if name == "Environment" else [name]
        assert {one for one in names if one.isupper()} <= known, line
        if name == "ExecStart":
            assert value.startswith("/opt/ringi/.venv/bin/python "), line
            sound(shlex.split(value))
    commands = [shlex.split(one) for one in re.findall(r"\| `(python [^`]*)` \|", text)]
    assert len(commands) == 8
    for command in commands:
        sound([word.replace("QUEUE", "production") for word in command])
    for line in re.findall(r"^\$ (?:\w+=\S+ )?(\.venv/bin/python manage\.py .*)$", text, re.MULTILINE):
        sound(shlex.split(line, comments=True))


def unit(name: str) -> dict[str, list[str]]:
    """Return the lines of a unit by their names, in order; an empty value takes back those before, as in systemd."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text(encoding="utf-8").replace("\\\n", "").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def as_run() -> dict[str, dict[str, list[str]]]:
    """Return the unit of each process of the product, its instance's name filled in."""
    names = {row.name: f"ringi-{row.name.replace('_', '-')}.service" for row in rows(3, 4, QUEUES)}
    of_workers = {name: unit("ringi-worker@.service") for name in names if name.startswith("worker-")}
    filled = {
        name: {
            key: [value.replace("%i", name.removeprefix("worker-")) for value in values] for key, values in one.items()
        }
        for name, one in of_workers.items()
    }
    return {name: unit(file) for name, file in names.items() if name not in of_workers} | filled


def test_no_two_units_share_an_account_a_file_of_variables_or_a_folder() -> None:
    units = as_run()
    assert {*units} == {row.name for row in rows(3, 4, QUEUES)}
    for key in ("User", "EnvironmentFile", "StateDirectory"):
        values = [value for one in units.values() for value in one[key]]
        assert len(values) == len({*values}) == len(units), (key, values)
    for name, one in units.items():
        assert f"RINGI_PROCESS={name} RINGI_STATE_DIR=/var/lib/{one['StateDirectory'][0]}" in one["Environment"]
        assert "Group" not in one and set(one.get("SupplementaryGroups", ())) <= {"ringi-targets"}, name
        assert one["EnvironmentFile"][0].startswith("/etc/ringi/") and one["InaccessiblePaths"] == ["-/etc/ringi"]


def test_the_account_of_programs_is_no_other_ones() -> None:
    given = unit("programs.conf")
    accounts = {value for one in as_run().values() for value in one["User"]}
    assert given["Environment"] == ["RINGI_PROGRAM_USER=ringi-programs"] and "ringi-programs" not in accounts
    assert given["AmbientCapabilities"] == given["CapabilityBoundingSet"] == ["CAP_KILL CAP_SETGID CAP_SETUID"]


@pytest.mark.parametrize("name", sorted(file.name for file in UNITS.glob("*.service")))
def test_a_unit_is_closed(name: str) -> None:
    one = unit(name)
    wanted = {
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateTmp": "yes",
        "ProtectProc": "invisible",
        "StateDirectoryMode": "0700",
    }
    assert {key: one[key][0] for key in wanted} == wanted
    if analyze := shutil.which("systemd-analyze"):
        rated = [analyze, "security", "--offline=true", "--threshold=20", "--no-pager", str(UNITS / name)]
        ran = subprocess.run(rated, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout[-300:] + ran.stderr


def let_into_the_image() -> list[str]:
    """Return what `.dockerignore` lets in; all else stays outside."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    return [line[2:] for line in rules if line.startswith("!/")]


def test_the_image_holds_what_runs_and_no_secret(compose: dict[str, Any]) -> None:
    let_in = let_into_the_image()
    assert {"audit", "config", "environments", "releases", "locale", "manage.py", "requirements.lock"} <= {*let_in}
    assert all((ROOT / name).exists() for name in let_in)
    for closed in ("docs", "var", "secrets", ".env", ".git", "tests"):
        assert closed not in let_in, closed
    build = compose["services"]["migrate"]["build"]
    copied = [line.split() for line in build["dockerfile_inline"].splitlines() if line.startswith(("COPY", "ADD"))]
    assert build["context"] == "../.." and copied == [["COPY", ".", "."]]
    assert not {"args", "secrets"} & {*build}


@pytest.mark.parametrize(
    "path", ["secrets/url_ringi", "docs/how-to/secrets/secret_key", "web.env", "configuration.keys"]
)
def test_git_takes_no_secret(path: str) -> None:
    assert subprocess.run(["git", "check-ignore", "--quiet", path], cwd=ROOT).returncode == 0
