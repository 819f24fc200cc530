"""One form for the configurations of all environments, and one for the release team, each filled in beforehand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse

from audit.clock import now
from audit.models import Event
from audit.refusals import InvalidInput, NotPermitted
from environments.models import Application, ConfigurationVersion
from environments.operations.configuration.create import create
from releases.admin.operations.source import MOST_HINTS
from releases.gates.window import opening
from releases.models import Release, TeamMember
from releases.operations.release.plan import set_configurations
from releases.operations.team.assign import assign, assign_all
from tests.releases.gates.asking import make

Clients = Callable[[str], Any]


def test_the_newest_configuration_of_each_environment_is_chosen_beforehand(world: Any, browsers: Clients) -> None:
    release, client = world.planned(), browsers("manager")
    with world.acting_as("manager"):
        set_configurations(release.pk, configuration_ids=[world.configurations["staging"].pk])
    address = reverse("operation", args=["release", "set_configuration", release.pk])
    form = client.get(address).context["form"]
    assert {name.removeprefix("configuration_"): field.initial for name, field in form.fields.items()} == {
        slug: row.pk for slug, row in world.configurations.items()
    }
    before = Event.objects.filter(operation="release:set_configuration", kind="operation").count()
    sent = {name: field.initial for name, field in form.fields.items()}
    assert client.post(address, sent).status_code == 302
    assert world.fresh(release).configurations == {slug: row.pk for slug, row in world.configurations.items()}
    assert Event.objects.filter(operation="release:set_configuration", kind="operation").count() == before + 1
    assert client.post(address, {}).status_code == 400


def test_a_configuration_of_another_environment_is_no_choice(world: Any, browsers: Clients) -> None:
    release, client = world.planned(), browsers("manager")
    address = reverse("operation", args=["release", "set_configuration", release.pk])
    before = world.fresh(release).configurations
    answer = client.post(address, {"configuration_production": world.configurations["staging"].pk})
    assert answer.status_code == 400 and world.fresh(release).configurations == before
    assert ConfigurationVersion.objects.filter(environment__slug="staging").exists()


def test_the_team_of_the_last_release_stands_in_the_form(world: Any, browsers: Clients) -> None:
    first, client = world.planned("1.3.0"), browsers("manager")
    with world.acting_as("manager"):
        assign(first.pk, team_role="implementer", account_id=world.people["operator"].pk, telephone="03-1")
        assign(first.pk, team_role="verifier", account_id=world.people["second_operator"].pk, telephone="03-2")
    second = world.planned("1.4.0")
    address = reverse("operation", args=["team", "assign", second.pk])
    form = client.get(address).context["form"]
    assert form.fields["implementer_account_id"].initial == world.people["operator"].pk
    assert form.fields["verifier_telephone"].initial == "03-2"
    sent = {name: field.initial or "" for name, field in form.fields.items()}
    assert client.post(address, sent).status_code == 302
    assert {(row.team_role, row.account.username) for row in second.team_members.all()} == {
        ("implementer", "operator"),
        ("verifier", "second_operator"),
    }
    # They change places in one operation; the same again is none.
    sent |= {
        "implementer_account_id": sent["verifier_account_id"],
        "verifier_account_id": sent["implementer_account_id"],
    }
    assert client.post(address, sent).status_code == 302
    assert TeamMember.objects.get(release=second, team_role="verifier").account.username == "operator"
    count = Event.objects.filter(operation="team:assign", kind="operation").count()
    assert client.post(address, sent).status_code == 302
    assert Event.objects.filter(operation="team:assign", kind="operation").count() == count
    sent |= {"verifier_account_id": sent["implementer_account_id"]}
    assert client.post(address, sent).status_code == 400
    assert TeamMember.objects.get(release=second, team_role="verifier").account.username == "operator"


def test_a_team_of_no_person_is_refused_as_each_refusal_is(world: Any) -> None:
    release = world.planned()
    for name, refusal in (("manager", InvalidInput), ("auditor", NotPermitted)):
        before = Event.objects.filter(operation="team:assign", outcome="refused").count()
        with world.acting_as(name), pytest.raises(refusal):
            assign_all(release.pk, members={})
        assert Event.objects.filter(operation="team:assign", outcome="refused").count() == before + 1


def test_a_copy_is_planned_with_its_window_and_the_newest_configurations(world: Any, browsers: Clients) -> None:
    first, client = world.planned(), browsers("manager")
    with world.acting_as("manager"):
        newer = create(
            application_id=world.application.pk,
            environment_id=world.environments["staging"].pk,
            values={"PORT": "8081"},
            secrets={"PASSWORD": "another"},
            reason="second",
        )
    address = reverse("operation", args=["release", "copy", first.pk])
    form = client.get(address).context["form"]
    window = form.fields["window"].choices[0][0]
    sent = {name: field.initial for name, field in form.fields.items() if name.startswith("configuration_")}
    assert sent["configuration_staging"] == newer.pk != first.configurations["staging"]
    sent |= {"version": "1.4.0", "title": "", "reason": "", "start": "", "window": window}
    assert client.post(address, sent).status_code == 302
    made = Release.objects.get(version="1.4.0")
    assert made.configurations == first.configurations | {"staging": newer.pk}
    assert made.scheduled_start_at is not None and made.scheduled_end_at is not None
    assert {row.key for row in made.milestones.all()} == {row.key for row in first.milestones.all()} != set()
    # Both are left open by who does not know them yet.
    later = {"version": "1.5.0", "title": "", "reason": "", "start": ""}
    assert client.post(address, later).status_code == 302
    made = Release.objects.get(version="1.5.0")
    assert made.configurations == {} and made.scheduled_start_at is None and not made.milestones.exists()


def test_a_copy_outside_of_every_window_is_not_made(world: Any, browsers: Clients) -> None:
    first, client = world.planned(), browsers("manager")
    outside = next(
        at
        for hours in range(400)
        if not opening(first.application, world.environments["production"], at := now() + timedelta(hours=hours)).open
    )
    sent = {"version": "1.4.0", "title": "", "reason": "", "start": outside.isoformat()}
    answer = client.post(reverse("operation", args=["release", "copy", first.pk]), sent)
    assert answer.status_code == 409 and not Release.objects.filter(version="1.4.0").exists()


def test_a_window_of_the_calendar_stands_in_the_plan(world: Any, browsers: Clients) -> None:
    client, at = browsers("manager"), now().replace(microsecond=0)
    address = reverse("operation-new", args=["release", "plan"])
    form = client.get(address, {"start": at.isoformat()}).context["form"]
    assert form.initial["start"] == at.isoformat()
    sent = {"application_id": world.application.pk, "version": "1.3.0", "title": "Tags", "kind": "regular"}
    assert client.post(address, sent | {"start": at.isoformat()}).status_code == 302
    release = Release.objects.get(version="1.3.0")
    assert release.scheduled_start_at == at and release.milestones.count() == 5


def test_the_hint_of_a_version_is_about_the_application_at_hand(world: Any, browsers: Clients) -> None:
    """A plan names each application, but not many."""
    release, client = world.planned(), browsers("manager")
    make(Application, slug="other", name="Other", repository="x", allowed_signers="")
    copy = client.get(reverse("operation", args=["release", "copy", release.pk])).context["form"]
    hint = str(copy.fields["version"].help_text)
    assert "Datasets" in hint and "Other" not in hint
    plan = reverse("operation-new", args=["release", "plan"])
    assert "Other" in str(client.get(plan).context["form"].fields["version"].help_text)
    for number in range(MOST_HINTS):
        make(Application, slug=f"more-{number}", name=f"More {number}", repository="x", allowed_signers="")
    assert not client.get(plan).context["form"].fields["version"].help_text
