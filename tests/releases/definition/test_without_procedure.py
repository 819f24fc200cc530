"""A definition in an installation that has no release procedure yet."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from audit.actor import Actor, acting
from audit.refusals import NotPossible
from environments.models import AccessGrant
from environments.operations.access.grant import request_role
from environments.operations.account.create import create as create_account
from releases.operations.application.create import create_application
from releases.operations.procedure.put_into_effect import submit
from releases.procedures.load import DEFAULT
from tests.conftest import enrolled, enters
from tests.releases.gates.asking import alter

from .test_definition import acts


def test_an_installation_without_a_procedure_says_where_the_first_one_comes_from(empty_database: str) -> None:
    people = {}
    with acting(Actor(account_id=None, name="tests", kind="command", channel="command")):
        account = create_account(username="manager", display_name="Manager", kind="person")
        people["manager"] = enrolled(account)
        request_role(account.pk, role="release_manager", reason="first")
    alter(AccessGrant.objects.get(), confirmed_at=datetime.now(UTC))
    files = {f"procedure/{file.name}": file.read_text("utf-8") for file in sorted(DEFAULT.glob("*.toml"))}
    process = {"processes/shop.toml": "format = 1\n"}
    with enters(people)("manager"):
        create_application(slug="shop", name="Shop", repository="https://git.example/shop.git", signers="")
        (found,) = (act for act in acts(process) if act.address[0] == "process")
        assert "--put-into-effect" in found.why and found.run is None
        (found,) = acts(files)
        assert found.run is not None
        draft = found.run("the rules")
        (found,) = acts(files)
        assert (found.event, found.run) == ("procedure:submit", None) and "--put-into-effect" in found.why
        with pytest.raises(NotPossible, match="--put-into-effect"):
            submit(draft.pk, reason="the rules")
