"""Going on after a restore and addresses for checkpoints: who may, that two are needed, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from audit.ledger.checkpoint import LedgerSigner, SigningRefused
from audit.ledger.resumption import write_refusal
from audit.models import CheckpointDelivery, Event, LedgerResumption
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible, SignatureRequired
from environments.operations.account.deactivate import deactivate
from environments.operations.checkpoint import add_address
from environments.operations.ledger import resume
from tests.releases.gates.asking import alter

Acting = Callable[..., Any]


@pytest.fixture
def refused(database: str, people: Any, tmp_path: Path) -> str:
    """The ledger signer's refusal in the ledger: it remembers more events than there are. Its reason."""
    from audit.ledger.proof import Frontier

    signer = LedgerSigner(tmp_path / "ledger_signer")
    frontier = Frontier()
    for _ in range(5000):
        frontier.add(bytes(32))
    signer.frontier = frontier
    from audit.ledger.note import Checkpoint, sign

    signer.note = sign(Checkpoint(signer.origin, 5000, frontier.root()), signer.private)
    signer.remembers = True
    with pytest.raises(SigningRefused) as refusal:
        signer.sign(connection)
    write_refusal(signer, connection, str(refusal.value))
    return str(refusal.value)


def test_an_administrator_and_a_committee_member_let_the_ledger_signer_go_on(refused: str, acting_as: Acting) -> None:
    with acting_as("administrator"):
        row = resume.request_resumption(reason="ディスク故障からの復元")
        assert (row.size, row.finding) == (5000, refused)
        with pytest.raises(NotPossible, match="has already been requested"):
            resume.request_resumption(reason="again")
    for name in ("administrator", "second_administrator", "manager", "auditor"):
        with acting_as(name), pytest.raises(NotPermitted, match="permission"):
            resume.confirm(row.pk)
    with acting_as("committee_a"):
        row = resume.confirm(row.pk, reason="yes")
        with pytest.raises(NotPossible, match="Two people have already decided"):
            resume.confirm(row.pk)
    assert row.confirmed_at is not None and row.confirmed_person != row.requested_person
    operations = Event.objects.filter(kind="operation", operation__startswith="ledger:").order_by("at")
    signed = [event.contents["after"]["signature"] for event in operations]
    assert [one["meaning"] for one in signed] == ["ledger:request_resumption", "ledger:confirm_resumption"]
    assert {one["digest"] for one in signed} == {row.digest}


def test_a_resumption_requested_by_someone_who_has_left_is_requested_again(
    refused: str, acting_as: Acting, people: dict[str, Any]
) -> None:
    with acting_as("administrator"):
        row = resume.request_resumption(reason="restored")
    with acting_as("second_administrator"):
        deactivate(people["administrator"].pk, reason="left")
    with acting_as("committee_a"), pytest.raises(GateNotPassed, match="no longer has the permission"):
        resume.confirm(row.pk)
    with acting_as("second_administrator"):
        again = resume.request_resumption(reason="restored, as I have seen")
    with acting_as("committee_a"):
        assert resume.confirm(again.pk).digest == row.digest


def test_the_second_person_is_another_one_under_each_of_their_names(
    refused: str, acting_as: Acting, people: dict[str, Any]
) -> None:
    with acting_as("administrator"):
        row = resume.request_resumption(reason="restored")
    alter(people["committee_a"], former_identities=[row.requested_person])
    with acting_as("committee_a"), pytest.raises(NotPermitted, match="second person"):
        resume.confirm(row.pk)
    assert LedgerResumption.objects.get().confirmed_at is None


def test_two_accounts_that_became_one_person_resume_nothing(
    refused: str, acting_as: Acting, people: dict[str, Any]
) -> None:
    """What the request says of its requester is older than what is known now."""
    with acting_as("administrator"):
        row = resume.request_resumption(reason="restored")
    for name in ("administrator", "committee_a"):
        alter(people[name], employee_id="E-1", former_identities=[f"account:{people[name].pk}"])
    with acting_as("committee_a"), pytest.raises(NotPermitted, match="second person"):
        resume.confirm(row.pk)


def test_nothing_is_requested_while_the_ledger_signer_refuses_nothing(people: Any, acting_as: Acting) -> None:
    with acting_as("administrator"), pytest.raises(NotPossible, match="refuses nothing"):
        resume.request_resumption(reason="x")
    assert not LedgerResumption.objects.exists()


@pytest.mark.parametrize("who", ["manager", "operator", "auditor", "committee_a", "ci", "outsider"])
def test_no_one_else_may(refused: str, acting_as: Acting, who: str) -> None:
    with acting_as(who), pytest.raises(NotPermitted):
        resume.request_resumption(reason="x")
    with acting_as(who), pytest.raises(NotPermitted):
        add_address.add_address(kind="mail", address="a@datasets.example", given_by="x", reason="x")


def test_both_sign(refused: str, acting_as: Acting) -> None:
    with acting_as("administrator", proved=False), pytest.raises(SignatureRequired):
        resume.request_resumption(reason="x")
    with acting_as("administrator", proved=False), pytest.raises(SignatureRequired):
        add_address.add_address(kind="mail", address="a@datasets.example", given_by="x", reason="x")


def test_an_address_is_entered_once_and_ended_once(people: Any, acting_as: Acting) -> None:
    with acting_as("administrator"):
        row = add_address.add_address(
            kind="post", address=" https://witness.example/a ", given_by="監査人", reason="年次"
        )
        assert (row.address, row.entered_by.split(":")[0]) == ("https://witness.example/a", "person")
        with pytest.raises(NotPossible, match="already"):
            add_address.add_address(kind="post", address="https://witness.example/a", given_by="x", reason="x")
        with pytest.raises(InvalidInput, match="Enter a reason"):
            add_address.remove_address(row.pk, reason=" ")
        add_address.remove_address(row.pk, reason="over")
        with pytest.raises(NotPossible, match="no longer sent to this address"):
            add_address.remove_address(row.pk, reason="over")
        add_address.add_address(kind="post", address="https://witness.example/a", given_by="x", reason="x")
    assert CheckpointDelivery.objects.count() == 2


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("mail", "nobody"),
        ("mail", "https://witness.example"),
        ("post", "a@datasets.example"),
        ("post", "ftp://witness.example"),
        ("post", "file:///etc/passwd"),
        ("post", "http://"),
        ("post", "http://[x"),
        ("post", "http://witness.example:99999"),
        ("fax", "a@datasets.example"),
    ],
)
def test_an_address_of_another_type_is_refused(people: Any, acting_as: Acting, kind: str, text: str) -> None:
    with acting_as("administrator"), pytest.raises(InvalidInput):
        add_address.add_address(kind=kind, address=text, given_by="x", reason="x")
