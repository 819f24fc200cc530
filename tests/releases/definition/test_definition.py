"""A folder of TOML says what applications, targets and calendars there are to be; people make its changes."""

from __future__ import annotations

import io
from contextlib import nullcontext
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command

from audit.models import Event
from audit.refusals import InvalidInput, NotPermitted
from environments.models import Application, ChangeFreeze, DeploymentTarget, GroupRole, Holiday, RequestedChange
from environments.operations.group_role.decide import confirm_group_role, request_group_role
from environments.operations.holiday.add import add
from environments.operations.window.create_freeze import freeze, freeze_recurring
from releases.definition import system
from releases.definition.plan import plan
from releases.models import Definition, DeploymentProcess, GroupRecipient, Procedure, RecipientGroup
from releases.operations.application.create import create_application
from releases.operations.approval.decide import approve
from releases.operations.definition.load import load
from releases.operations.procedure.put_into_effect import load as load_procedure, submit
from releases.operations.recipient.add import add as add_recipient
from releases.operations.target.retire import retire
from releases.procedures.document import Procedure as Content, ProcedureFaults
from releases.queries.definition_files import as_files, parse
from releases.queries.procedure_types import procedure_types

SHOP = """
name = "Shop"
repository = "https://git.example/shop.git"
group = "web"

[documents]
branch = "docs"

[[targets]]
environment = "development"
root = "/srv/shop"
"""
PROCESS = """
format = 1

[[plans.deployment]]
key = "code"
type = "code_deploy"
ja = "コード"
en = "Code"
required = true
estimate_seconds = 5
parameters = {}

[[plans.rollback]]
key = "back"
type = "code_deploy"
ja = "コード"
en = "Code"
required = true
estimate_seconds = 5
parameters = {}
"""

HISTORY = """
[[history]]
date = 2027-01-04
version = "99.0.0"
ja = "厳格化"
en = "Stricter"
"""


TODAY = datetime.now(ZoneInfo("Asia/Tokyo")).date()


def acts(files: dict[str, str]) -> list[Any]:
    """Return what a definition would change now."""
    return plan(parse(files), system.read())


def exported() -> dict[str, str]:
    return as_files(system.read().definition)


def told(*args: str, **options: Any) -> str:
    out = io.StringIO()
    call_command("definition", *args, stdout=out, **options)
    return out.getvalue()


def furnish(world: Any) -> None:
    """Make one of each kind that a definition has."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    production = world.environments["production"].pk
    with world.acting_as("manager"):
        add(day=TODAY + timedelta(days=40), name_ja="創立記念日", name_en="Foundation day")
        freeze(
            production, name="inventory", starts_at=tomorrow, ends_at=tomorrow + timedelta(days=2), reason="counting"
        )
        freeze_recurring(
            production,
            name="closing",
            rrule="FREQ=MONTHLY;BYMONTHDAY=-1",
            start=time(9),
            length_minutes=600,
            first_day=TODAY,
            last_day=TODAY + timedelta(days=300),
            reason="closing of the month",
            application_id=world.application.pk,
        )
        group = RecipientGroup.objects.filter(closed_at=None).first()
        add_recipient(group.pk, account_id=world.people["operator"].pk)
    with world.acting_as("administrator"):
        made = request_group_role(group="ops", role="operator", reason="they operate")
    with world.acting_as("second_administrator"):
        confirm_group_role(made.pk)


def test_the_exported_system_differs_from_itself_in_nothing(world: Any, tmp_path: Path) -> None:
    furnish(world)
    folder = tmp_path / "all"
    assert "files were written" in told("export", str(folder))
    kinds = {path.relative_to(folder).parts[0] for path in folder.rglob("*.toml")}
    assert kinds == {"applications", "procedure", "calendar.toml", "access.toml", "recipients.toml"}
    assert told("plan", str(folder), exit_code=True) == "0 changes\n"
    with pytest.raises(CommandError, match="is there already"):
        told("export", str(folder))


def test_each_change_of_a_folder_is_one_act(world: Any) -> None:
    furnish(world)
    files = exported()
    slug = world.application.slug
    files[f"applications/{slug}.toml"] = files[f"applications/{slug}.toml"].replace(
        f'name = "{world.application.name}"', 'name = "Renamed"', 1
    )
    files["applications/shop.toml"] = SHOP
    files["calendar.toml"] = (
        files["calendar.toml"].replace("Foundation day", "Anniversary").replace("counting", "other")
    )
    del files["recipients.toml"]
    files["access.toml"] = "group_roles = []\n"
    found = {(act.event, act.name): act for act in acts(files)}
    day = (TODAY + timedelta(days=40)).isoformat()
    assert set(found) == {
        ("application:create", "shop"),
        ("application:edit", slug),
        ("application:set_publication", "shop"),
        ("target:create", "shop · development · main"),
        ("holiday:remove", day),
        ("group_role:end", "ops · operator"),
    }
    assert found["application:edit", slug].differences == [("name", world.application.name, "Renamed")]
    assert found["application:create", "shop"].run is not None
    assert "does not exist yet" in found["target:create", "shop · development · main"].why


def test_acts_are_done_in_rounds_until_nothing_differs(world: Any) -> None:
    furnish(world)
    files = exported() | {"applications/shop.toml": SHOP, "processes/shop.toml": PROCESS}
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="seconds")
    later = (datetime.now(UTC) + timedelta(days=2)).isoformat(timespec="seconds")
    files["calendar.toml"] = (
        f'holidays = []\n[[freezes]]\nname = "move"\nenvironment = "production"\napplication = "shop"\nfull = true\n'
        f'reason = "the servers move"\nbegins = {tomorrow}\nends = {later}\n'
    )
    files["recipients.toml"] = "recipients = []\n"
    rounds = 0
    while ready := [act for act in acts(files) if act.run is not None]:
        rounds += 1
        assert rounds < 5
        for act in ready:
            with world.acting_as("administrator" if act.event.startswith("group_role") else "manager"):
                act.run("as the folder says")
    (left,) = acts(files)
    assert (left.event, left.awaits) == ("deployment_process:submit", DeploymentProcess.objects.get())
    shop = Application.objects.get(slug="shop")
    assert (shop.group, shop.documents_branch, shop.targets.get().root) == ("web", "docs", "/srv/shop")
    assert [(row.name, row.full) for row in ChangeFreeze.objects.in_effect().filter(from_procedure=False)] == [
        ("move", True)
    ]
    assert not Holiday.objects.filter(removed_at=None).exists()
    assert not GroupRecipient.objects.filter(removed_at=None).exclude(account=None).exists()
    assert DeploymentProcess.objects.get().state == "in_review"
    # What goes away goes in the order in which it can.
    del files["applications/shop.toml"], files["processes/shop.toml"]
    with world.acting_as("manager"):
        for act in acts(files):
            if act.event in ("target:retire", "application:retire"):
                act.run("it is sold")
    assert Application.objects.get(slug="shop").retired
    files["applications/shop.toml"] = SHOP
    assert {act.event for act in acts(files)} >= {"application:reinstate", "target:reinstate"}


def test_a_change_of_production_waits_for_a_second_person(world: Any) -> None:
    target = DeploymentTarget.objects.get(environment__slug="production")
    files = {name: text for name, text in exported().items() if name.startswith("applications/")}
    (name,) = files
    files[name] += '[targets.options]\nhttp_hosts = ["api.example.org"]\n'
    (production,) = acts(files)
    assert production.event == "target:set_outbound_hosts" and "production" in production.name
    with world.acting_as("developer"), pytest.raises(NotPermitted):
        production.run("no right")
    with world.acting_as("operator"):
        production.run("the partner's interface")
    assert DeploymentTarget.objects.get(pk=target.pk).options == target.options
    (waiting,) = acts(files)
    assert waiting.run is None and waiting.awaits == RequestedChange.objects.get(decided_at=None)


def test_a_new_version_of_the_procedure_is_loaded_and_submitted(world: Any) -> None:
    active = Procedure.objects.get(state="in_effect")
    files = {name: text for name, text in exported().items() if name.startswith("procedure/")}
    first, rest = files["procedure/1-01-introduction.toml"].split(f'version = "{active.version}"', 1)
    altered = files | {"procedure/2-03-reminders.toml": "[reminders]\nhours_before = [48]\n"}
    (blocked,) = acts(altered)
    assert blocked.event == "procedure:load" and "already exists with different content" in blocked.why
    altered["procedure/1-01-introduction.toml"] = first + 'version = "99.0.0"' + rest
    altered["procedure/8-01-history.toml"] += HISTORY
    (act,) = acts(altered)
    assert act.event == "procedure:load" and any(place == "version" for place, _before, _after in act.differences)
    with world.acting_as("manager"):
        act.run("stricter")
        (act,) = acts(altered)
        assert act.event == "procedure:submit"
        act.run("stricter")
    (act,) = acts(altered)
    assert act.run is None and act.awaits == Procedure.objects.get(version="99.0.0", state="in_review")


def test_what_is_ticked_names_all_that_would_be_written(world: Any) -> None:
    """Two targets whose values read the same, or nearly, are two acts; each difference is shown."""
    slug, found = world.application.slug, []
    files = {name: text for name, text in exported().items() if name.startswith("applications/")}
    for words in ('["sh", "-c x"]', '["sh", "-c", "x"]', '["sh -c x"]'):
        options = f"[targets.options]\nmigrate = {words}\n"
        changed = files | {f"applications/{slug}.toml": files[f"applications/{slug}.toml"] + options}
        (act,) = acts(changed)
        found.append((act.key, act.differences[0]))
    assert len({key for key, _shown in found}) == len({shown for _key, shown in found}) == 3


def test_nothing_hides_behind_a_name_with_a_dot_or_an_empty_value(world: Any) -> None:
    slug = world.application.slug
    files = {name: text for name, text in exported().items() if name.startswith("applications/")}
    options = '[targets.options]\nlog = ""\n[targets.options.ansible.inventory]\n'
    options += '"all.vars" = "shown"\nall = {vars = "real"}\n'
    (act,) = acts(files | {f"applications/{slug}.toml": files[f"applications/{slug}.toml"] + options})
    assert act.differences == [
        ("options.log", "—", '""'),
        ('options.ansible.inventory."all.vars"', "—", "shown"),
        ("options.ansible.inventory.all.vars", "—", "real"),
    ]


def test_what_comes_back_is_shown_as_it_was_retired(world: Any) -> None:
    files = {name: text for name, text in exported().items() if name.startswith("applications/")}
    (name,), root = files, DeploymentTarget.objects.get(environment__slug="development").root
    target = DeploymentTarget.objects.get(environment__slug="development")
    with world.acting_as("manager"):
        retire(target.pk, reason="moved")
    (act,) = acts({name: files[name].replace(root, "/srv/elsewhere")})
    assert act.event == "target:reinstate"
    assert act.differences[:2] == [("retired", "true", "false"), ("root", "—", root)]


def test_who_wrote_in_an_earlier_draft_of_a_procedure_approves_no_later_one(world: Any) -> None:
    active = Procedure.objects.get(state="in_effect")
    made = []
    for who, version in (("author_on_committee", "9.0.0"), ("manager", "9.1.0")):
        raw = active.content | {"version": version}
        raw["history"] = [*raw["history"], {"date": "2027-01-04", "version": version, "ja": "x", "en": "x"}]
        with world.acting_as(who):
            made.append(load_procedure(Content.checked(raw, **procedure_types()), reason="another one"))
    assert [row.writers for row in made] == [[], [made[0].author_id]]
    with world.acting_as("manager"):
        asked = submit(made[1].pk, reason="another one")
    with world.acting_as("author_on_committee"), pytest.raises(NotPermitted, match="author"):
        approve(asked.pk, digest=asked.digest)


def test_who_loaded_a_document_does_not_approve_it(world: Any) -> None:
    """Another person may tick its draft: the author of the file is an author of the draft."""
    with world.acting_as("manager"):
        create_application(slug="shop", name="Shop", repository="https://git.example/shop.git")
        load({"applications/shop.toml": SHOP}, reason="without the process")
    files = {"applications/shop.toml": SHOP, "processes/shop.toml": PROCESS}
    with world.acting_as("author_on_committee"):
        load(files, reason="with it")
    with world.acting_as("manager"):
        load(files | {"calendar.toml": "holidays = []\n"}, reason="not of the process")
        for event in ("deployment_process:create", "deployment_process:submit"):
            (act,) = (act for act in acts({"processes/shop.toml": PROCESS}) if act.event == event)
            asked = act.run("as the folder says")
    assert asked.process.writers == [world.people["author_on_committee"].pk]
    for who, may in (("author_on_committee", False), ("committee_a", True)):
        with world.acting_as(who), nullcontext() if may else pytest.raises(NotPermitted, match="author"):
            approve(asked.pk, digest=asked.digest)


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        (
            {"applications/shop.toml": SHOP + "surprise = 1\n"},
            r"targets\[0\].surprise \(applications/shop.toml, line 12\): is not known here",
        ),
        ({"applications/shop.toml": SHOP + '[targets.options]\nshape = "x"\n'}, "shape"),
        ({"applications/shop.toml": SHOP.replace("https://", "https://u:p@")}, "repository .*seems to be a secret"),
        ({"applications/shop.toml": SHOP + SHOP[SHOP.index("[[targets]]") :]}, "second target of that name"),
        ({"applications/a b.toml": SHOP}, "not named by the key"),
        ({"other.toml": ""}, "not a file of a definition"),
        ({"./applications/shop.toml": SHOP}, "not a plain path"),
        ({"applications/shop.toml": SHOP.replace("Shop", "Sh\\u202eop")}, "not printed"),
        ({"applications/shop.toml": SHOP + "[targets.options.ansible.inventory]\nx = 99999999999999999999\n"}, "form"),
        ({"applications/shop.toml": f"name = {'[' * 5000}{']' * 5000}"}, "form|deep|TOML"),
        ({"processes/shop.toml": f"name = {'[' * 5000}{']' * 5000}"}, "deep|TOML"),
        (
            {"calendar.toml": "[[freezes]]\nname = 'x'\nenvironment = 'production'\nreason = 'y'\n"},
            "needs begins and ends",
        ),
        ({"calendar.toml": "[[holidays"}, "is not TOML"),
        ({"procedure/a.toml": "format = 1\n"}, "version: is missing"),
        ({"processes/shop.toml": PROCESS.replace("code_deploy", "no_such")}, "processes/shop.toml: plans.deployment"),
    ],
)
def test_every_fault_is_found_before_anything_is_stored(world: Any, files: dict[str, str], fault: str) -> None:
    with world.acting_as("manager"), pytest.raises(InvalidInput, match=fault):
        load(files, reason="wrong")
    assert not Definition.objects.exists()


def test_a_loaded_definition_changes_nothing_and_is_one_event(world: Any, tmp_path: Path) -> None:
    (tmp_path / "applications").mkdir()
    (tmp_path / "applications" / "shop.toml").write_text(SHOP)
    for names, why in (([], "Name the accounts"), (["developer", "no-one"], "no person has the user name no-one")):
        with pytest.raises(CommandError, match=why):
            told("apply", str(tmp_path), reason="commit 4e1f", author=names)
    assert "definition 1 is the newest" in told("apply", str(tmp_path), reason="commit 4e1f", author=["developer"])
    assert "definition 1 is the newest" in told("apply", str(tmp_path), author=["developer"])
    with world.acting_as("manager"):
        assert load({"applications/shop.toml": SHOP}, reason="again").number == 1
        assert load({"applications/shop.toml": SHOP + "\n"}, reason="a line").number == 2
    with world.acting_as("developer"), pytest.raises(NotPermitted):
        load({"applications/shop.toml": SHOP}, reason="no right")
    assert not Application.objects.filter(slug="shop").exists()
    assert [event.reason for event in Event.objects.filter(operation="definition:load", outcome="done")] == [
        "commit 4e1f",
        "a line",
    ]
    with pytest.raises(SystemExit, match="2"):
        told("plan", exit_code=True)


def test_two_hundred_applications_come_back_as_they_were(world: Any) -> None:
    text = SHOP.replace("web", "")
    with world.acting_as("manager"):
        for number in range(200):
            load_act = {f"applications/app{number:03}.toml": text.replace("Shop", f"App {number}")}
            (create, *_rest) = [act for act in acts(load_act) if act.event == "application:create"]
            create.run("many")
    files = exported()
    assert len(files) > 200
    assert acts(files) == []
    assert GroupRole.objects.count() == 0
    with pytest.raises(ProcedureFaults):
        parse(files | {"applications/app000.toml": "name = 1"})
