"""The set-ups in the administrators' pages and compose.yaml name existing variables, commands, roles and secrets."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
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
from tests.kit.guide import steps
from tests.kit.unit_file import read

ROOT = Path(__file__).resolve().parents[2]
HOW_TO = ROOT / "docs" / "how-to"
PAGES = ("install.md", "run.md", "recover.md", "upgrade.md")
DEPLOY = ROOT / "deploy"
FILE = DEPLOY / "compose.yaml"
UNITS = DEPLOY / "systemd"
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
    others = ("releases/telemetry.py", "environments/targets/sandbox.py", "environments/targets/container.py")
    files = [*(ROOT / "config").rglob("*.py"), *(ROOT / name for name in others)]
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
        r"```sh\n(mkdir -m 700 secrets.*?)```",
        (HOW_TO / "install-with-compose.md").read_text(encoding="utf-8"),
        re.DOTALL,
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
    script = script.replace(" ".join(names), " ".join(roles)).replace("/roles.sql", str(tmp_path / "roles.sql"))
    mounted = {one["source"]: one["target"] for one in compose["services"]["postgres"]["configs"]}
    assert compose["configs"]["sql"] == {"file": "roles.sql"} and mounted["sql"] == "/roles.sql"
    statements = (DEPLOY / "roles.sql").read_text(encoding="utf-8").replace("DATABASE ringi ", f"DATABASE {mark} ")
    for name, role in zip(names, roles, strict=True):
        statements = re.sub(rf"\b{name}\b", role, statements)
    (tmp_path / "roles.sql").write_text(statements)
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
    assert len(commands) == 9
    for command in commands:
        sound([word.replace("QUEUE", "production") for word in command])
    made = {*made_by_the_script(), "root"}
    for words in re.findall(r"^ *# ringi-manage ([a-z-]+ .*?)\\?$", text, re.MULTILINE):
        process, command, *_more = shlex.split(words, comments=True)
        assert command in get_commands() and process in made, words


def unit(name: str) -> dict[str, list[str]]:
    """Return the lines of a unit by their names, in order."""
    return read(UNITS / name, instance="%i")


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


def made_by_the_script() -> dict[str, dict[str, str]]:
    """Run `make-variables` as the page does; return file → variable → value."""
    (line,) = [block for step in steps() if step.title == "Variables" for block in step.blocks]
    with tempfile.TemporaryDirectory() as folder:
        environment = {"PATH": os.environ["PATH"], "RINGI_VARIABLES": folder}
        for code in (0, 2):  # what is there is never made again
            ran = subprocess.run(shlex.split(line), cwd=ROOT, env=environment, capture_output=True, text=True)
            assert ran.returncode == code, ran.stderr
        assert {file.stat().st_mode & 0o777 for file in Path(folder).iterdir()} == {0o600}
        return {
            file.stem: dict(row.split("=", 1) for row in file.read_text().splitlines())
            for file in Path(folder).glob("*.env")
        }


def test_the_script_gives_each_unit_the_variables_of_its_role() -> None:
    made = made_by_the_script()
    files = {Path(one["EnvironmentFile"][0]).stem: name for name, one in as_run().items()}
    assert set(made) == {*files, "owner"}
    roles = {urlsplit(one["DATABASE_URL"]).username: urlsplit(one["DATABASE_URL"]).password for one in made.values()}
    assert len(roles) == len({*roles.values()}) == 5
    for file, variables in made.items():
        role = "ringi_owner" if file == "owner" else ROLE_OF.get(files[file], "ringi_worker")
        assert urlsplit(variables["DATABASE_URL"]).username == role and set(variables) <= documented(), file
        user = "ringi_worker" if file.startswith("worker-") else "ringi_web"
        assert urlsplit(variables["REDIS_URL"]).username == user, file
        assert "RINGI_MAIL_URL" in variables or file not in ("web", "ledger-signer", "worker-notifications")
        assert not any("/etc/ringi/" in value for value in variables.values()), "no process can open that folder"
    keys = {file: variables["SECRET_KEY"] for file, variables in made.items()}
    assert keys["web"] == keys["live"] and len({*keys.values()}) == len(keys) - 1
    assert min(map(len, keys.values())) >= 50


@pytest.mark.parametrize(
    ("words", "said"),
    [([], "usage"), (["web"], "usage"), (["../tmp/web", "doctor"], "is no process"), (["strange", "doctor"], "")],
)
def test_the_wrapper_refuses_what_is_no_process(words: list[str], said: str) -> None:
    ran = subprocess.run([str(DEPLOY / "ringi-manage"), *words], capture_output=True, text=True)
    assert ran.returncode == 2 and ran.stderr.startswith("ringi-manage: ") and said in ran.stderr
    assert not ran.stdout


def test_the_accounts_and_folders_are_those_of_the_units() -> None:
    lines = (DEPLOY / "ringi.sysusers").read_text(encoding="utf-8").splitlines()
    rows = [shlex.split(line) for line in lines if line and not line.startswith("#")]
    accounts = {row[1]: row[4] if len(row) > 4 else "" for row in rows if row[0] == "u"}
    needed = {one["User"][0] for one in as_run().values()} | {"ringi-ledger-stream"}
    assert set(accounts) == needed | {"ringi-owner", "ringi-programs"}
    assert ["g", "ringi-targets", "-", "-"] in rows
    members = {row[1] for row in rows if row[0] == "m" and row[2] == "ringi-targets"}
    assert members == {one["User"][0] for one in as_run().values() if "SupplementaryGroups" in one}
    made = [line.split() for line in (DEPLOY / "ringi.tmpfiles").read_text(encoding="utf-8").splitlines()]
    folders = {row[1]: row[2:] for row in made if row[0] == "d"}
    assert folders.pop("/etc/ringi") == ["0700", "root", "root"]
    for name in needed | {"ringi-owner"}:
        assert accounts[name] == f"/var/lib/{name}" and folders[f"/var/lib/{name}"] == ["0700", name, name]
    rings = {path.removesuffix("/secrets").removeprefix("/var/lib/") for path in folders if path.endswith("/secrets")}
    assert rings == needed - {"ringi-live", "ringi-ledger-signer", "ringi-ledger-stream"}
    assert len(folders) == len(needed) + 1 + len(rings)
    if program := shutil.which("systemd-sysusers"):
        with tempfile.TemporaryDirectory() as root:
            (Path(root) / "etc").mkdir()
            words = [program, f"--root={root}", str(DEPLOY / "ringi.sysusers")]
            ran = subprocess.run(words, capture_output=True, text=True)
            made_ones = {line.split(":")[0] for line in (Path(root) / "etc/passwd").read_text().splitlines()}
            assert ran.returncode == 0 and set(accounts) <= made_ones, ran.stderr


def test_the_steps_name_files_that_there_are() -> None:
    """`make kit` plays the commands; here only what they name is looked at."""
    played = list(steps())
    text = "\n".join(block for step in played for block in step.blocks)
    named = re.findall(r"deploy/[\w./-]+", text)
    assert len(played) >= 12 and len(named) >= 8
    assert [name for name in named if not (ROOT / name).exists() and not name.endswith("/systemd/")] == []
    queues = re.findall(r"ringi-worker@\{([a-z,]+)\}", text)
    assert [set(one.split(",")) for one in queues] == [set(QUEUES)]
    copied = re.findall(r"for name in ([a-z ]+); do", text)
    assert [set(one.split()) for one in copied] == [{"scheduler", *QUEUES}]


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
    assert compose["services"]["migrate"]["build"] == {"context": "..", "dockerfile": "deploy/Containerfile"}
    file = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    copied = [line.split() for line in file.splitlines() if line.startswith(("COPY", "ADD"))]
    assert copied == [["COPY", ".", "."], ["COPY", "--from=packages", "/opt/ringi", "/opt/ringi"]]
    last = file.rpartition("\nFROM ")[2]
    assert "\nUSER 10001:10001\n" in last and " make" not in last and "pip" not in last
    sound(json.loads(last.partition("\nCMD ")[2].replace("\\\n", "")))


@pytest.mark.parametrize("path", ["secrets/url_ringi", "deploy/secrets/secret_key", "web.env", "configuration.keys"])
def test_git_takes_no_secret(path: str) -> None:
    assert subprocess.run(["git", "check-ignore", "--quiet", path], cwd=ROOT).returncode == 0
