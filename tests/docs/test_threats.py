"""The table of threats is complete: each line has its tests, and each possible attacker is in it."""

from __future__ import annotations

import re

from environments.roles import ROLE_CHOICES
from tests.threats import ROOT, listed

# Who decides or only reads under another name in the table.
ALSO = {
    "committee": "approver",
    "project_manager": "approver",
    "developer": "developer",
    "tester": "developer",
    "administrator": "administrator",
    "ci": "CI",
    "provisioning": "holder of a token for provisioning",
    "auditor": "auditor",
    "operator": "operator",
    "release_manager": "release manager",
}


def test_each_line_names_tests_that_there_are() -> None:
    for threat in listed():
        assert threat.tests and threat.finder and threat.soon, threat
        for test in threat.tests:
            path, name = test.split("::")
            assert (ROOT / path).is_file(), test
            assert re.search(rf"^def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.M), test


def test_every_possible_attacker_is_in_the_table() -> None:
    who = {threat.who for threat in listed()}
    assert {ALSO[role] for role, _label in ROLE_CHOICES} <= who
    assert {"worker", "application", "ledger signer", "owner", "holder of the Redis password"} <= who
    assert sum(name.startswith("root") for name in who) >= 2
