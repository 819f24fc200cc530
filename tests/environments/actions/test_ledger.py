"""Going on after a restore and addresses for checkpoints: who may, that two are needed, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from audit.ledger.checkpoint import Sealer, Unsealable
from audit.ledger.going_on import record_refusal
from audit.models import CheckpointDelivery, Event, LedgerResumption
from audit.refusals import Invalid, NotYou, SignatureNeeded, WrongState
from environments.actions.ledger import address, go_on

Acting = Callable[..., Any]


@pytest.fixture
def refused(database: str, people: Any, tmp_path: Path) -> str:
    """The sealer's refusal in the ledger: it remembers more events than there are. Its reason."""
    from audit.ledger.proof import Frontier

    sealer = Sealer(tmp_path / "sealer")
    frontier = Frontier()
    for _ in range(5000):
        frontier.add(bytes(32))
    sealer.frontier = frontier
    from audit.ledger.note import Checkpoint, sign

    sealer.note = sign(Checkpoint(sealer.origin, 5000, frontier.root()), sealer.private)
    sealer.remembers = True
    with pytest.raises(Unsealable) as refusal:
        sealer.seal(connection)
    record_refusal(sealer, connection, str(refusal.value))
    return str(refusal.value)


def test_an_administrator_and_one_of_the_committee_let_the_sealer_go_on(refused: str, acting_as: Acting) -> None:
    with acting_as("administrator"):
        row = go_on.propose(reason="ディスク故障からの復元")
        assert (row.size, row.finding) == (5000, refused)
        with pytest.raises(WrongState, match="has already been requested"):
            go_on.propose(reason="again")
    for name in ("administrator", "second_administrator", "manager", "auditor"):
        with acting_as(name), pytest.raises(NotYou, match="permission"):
            go_on.confirm(row.pk)
    with acting_as("committee_a"):
        row = go_on.confirm(row.pk, reason="yes")
        with pytest.raises(WrongState, match="Two people have already decided"):
            go_on.confirm(row.pk)
    assert row.confirmed_at is not None and row.confirmed_person != row.requested_person
    acts = Event.objects.filter(kind="operation", operation__startswith="ledger:").order_by("at")
    signed = [event.contents["after"]["signature"] for event in acts]
    assert [one["meaning"] for one in signed] == ["propose_going_on", "confirm_going_on"]
    assert {one["digest"] for one in signed} == {row.digest}


def test_nothing_is_proposed_while_the_sealer_refuses_nothing(people: Any, acting_as: Acting) -> None:
    with acting_as("administrator"), pytest.raises(WrongState, match="refuses nothing"):
        go_on.propose(reason="x")
    assert not LedgerResumption.objects.exists()


@pytest.mark.parametrize("who", ["manager", "operator", "auditor", "committee_a", "ci", "outsider"])
def test_nobody_else_may(refused: str, acting_as: Acting, who: str) -> None:
    with acting_as(who), pytest.raises(NotYou):
        go_on.propose(reason="x")
    with acting_as(who), pytest.raises(NotYou):
        address.add_address(kind="mail", address="a@datasets.example", given_by="x", reason="x")


def test_both_sign(refused: str, acting_as: Acting) -> None:
    with acting_as("administrator", proved=False), pytest.raises(SignatureNeeded):
        go_on.propose(reason="x")
    with acting_as("administrator", proved=False), pytest.raises(SignatureNeeded):
        address.add_address(kind="mail", address="a@datasets.example", given_by="x", reason="x")


def test_an_address_is_entered_once_and_ended_once(people: Any, acting_as: Acting) -> None:
    with acting_as("administrator"):
        row = address.add_address(kind="post", address=" https://witness.example/a ", given_by="監査人", reason="年次")
        assert (row.address, row.entered_by.split(":")[0]) == ("https://witness.example/a", "person")
        with pytest.raises(WrongState, match="already"):
            address.add_address(kind="post", address="https://witness.example/a", given_by="x", reason="x")
        with pytest.raises(Invalid, match="Enter a reason"):
            address.withdraw_address(row.pk, reason=" ")
        address.withdraw_address(row.pk, reason="over")
        with pytest.raises(WrongState, match="no longer sent to this address"):
            address.withdraw_address(row.pk, reason="over")
        address.add_address(kind="post", address="https://witness.example/a", given_by="x", reason="x")
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
def test_an_address_of_another_kind_is_refused(people: Any, acting_as: Acting, kind: str, text: str) -> None:
    with acting_as("administrator"), pytest.raises(Invalid):
        address.add_address(kind=kind, address=text, given_by="x", reason="x")
