"""The access pages: the matrix, the grants, and what each reader is offered; these pages decide nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from audit.actor import Actor, acting
from audit.clock import now
from audit.operation import operation
from environments.models import AccessGrant, AccessReview, Environment
from environments.models.role import role_names
from environments.operations.access.grant import request_role, revoke as end_grant
from environments.operations.access.request import request
from environments.operations.access_review.review import open_review
from environments.operations.account.deactivate import deactivate
from environments.operations.account.edit import edit
from environments.operations.delegation.request import request_delegation
from environments.operations.token.issue import issue_token
from environments.roles import LEVEL_CHOICES, LEVELS, ROLE_PERMISSIONS
from releases.admin.pages.access.page import right_words
from tests.releases.admin.counting import capture_queries
from tests.releases.gates.asking import alter

COMMAND = Actor(account_id=None, name="tests", kind="command", channel="command")


@pytest.fixture
def busy(people: dict[str, Any], acting_as: Callable[..., Any]) -> AccessReview:
    """One pending row of each type about access."""
    moment = now()
    with acting_as("developer"):
        request(role="tester", environment_id=Environment.objects.get(slug="production").pk, hours=2, reason="INC-7")
    with acting_as("committee_a"):
        request_delegation(
            delegator_id=people["committee_a"].pk,
            delegate_id=people["committee_b"].pk,
            starts_at=moment,
            until=moment + timedelta(days=3),
            reason="leave",
        )
    with acting_as("administrator"):
        request_role(people["outsider"].pk, role="committee", reason="new member")
        request_role(people["outsider"].pk, role="tester", reason="from May", starts_at=moment + timedelta(days=9))
        end_grant(AccessGrant.objects.get(account=people["tester"]).pk, reason="left")
        edit(people["committee_b"].pk, display_name="Committee B", employee_id="E-9", reason="a new number")
        issue_token(people["ci"].pk)
        return open_review(due_at=moment + timedelta(days=14), reason="half-year")


def html_of(client: Any, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, address
    return str(answer.content.decode())


def test_the_matrix_names_every_role_level_and_verb(busy: AccessReview, browsers: Callable[[str], Any]) -> None:
    html = html_of(browsers("auditor"), "/admin/access/")
    for label in role_names().values():
        assert f'<th scope="row" class="r-nowrap">{label}</th>' in html
    for key, label in LEVEL_CHOICES:
        assert key == "none" or f">{label}</span>" in html, key
    words = right_words()
    missing = {verb for verbs in (*LEVELS.values(), *ROLE_PERMISSIONS.values()) for verb in verbs} - set(words)
    assert not missing, "a right without words is shown as a key"


def test_the_page_shows_current_future_pending_and_past_grants(
    busy: AccessReview, browsers: Callable[[str], Any]
) -> None:
    html = html_of(browsers("auditor"), "/admin/access/")
    for words in ("waits for a second person", "begins later", "valid now", "revoked early", "2 hours", "half-year"):
        assert words in html, words


def test_each_reader_is_offered_their_permitted_operations(busy: AccessReview, browsers: Callable[[str], Any]) -> None:
    offers = {
        "administrator": {
            "access:revoke",
            "access:approve",
            "access:reject",
            "access_review:open",
            "delegation:confirm",
        },
        "second_administrator": {"access:confirm", "access:approve", "access_review:open", "delegation:confirm"},
        "committee_a": {"access:request", "delegation:request", "delegation:revoke"},
        "developer": {"access:request", "delegation:request"},
    }
    withheld = {
        "administrator": {"access:confirm"},
        "committee_a": {"access:approve", "access:revoke", "access_review:open", "delegation:confirm"},
        "developer": {"access:approve", "access:revoke", "access_review:open", "delegation:revoke"},
        "auditor": {"access:request", "delegation:request", "access:approve", "access_review:open"},
    }
    for name in sorted(offers.keys() | withheld.keys()):
        html = html_of(browsers(name), "/admin/access/")
        for verb in offers.get(name, set()):
            assert f'data-verb="{verb}"' in html, (name, verb)
        for verb in withheld.get(name, set()):
            assert f'data-verb="{verb}"' not in html, (name, verb)


def test_a_review_is_decided_line_by_line_except_ones_own_grants(
    busy: AccessReview, browsers: Callable[[str], Any]
) -> None:
    html = html_of(browsers("administrator"), f"/admin/access/review/{busy.pk}/")
    assert html.count('data-verb="access_review:keep"') == busy.items.count() - 1
    assert "another administrator decides it" in html
    reader = html_of(browsers("auditor"), f"/admin/access/review/{busy.pk}/")
    assert "data-verb" not in reader and "Committee A" in reader
    assert browsers("outsider").get(f"/admin/access/review/{busy.pk}/").status_code == 403


def test_a_review_item_is_decided_on_its_page_and_leads_back(
    busy: AccessReview, people: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    item = busy.items.get(grant__account=people["developer"])
    done = browsers("administrator").post(
        f"/admin/operation/access_review/keep/{item.pk}/", {"note": "still in the team"}
    )
    assert (done.status_code, done["location"]) == (302, f"/admin/access/review/{busy.pk}/")
    item.refresh_from_db()
    assert (item.result, item.note) == ("keep", "still in the team")


def test_an_overdue_review_is_marked(busy: AccessReview, browsers: Callable[[str], Any]) -> None:
    """The mark is on the matrix, on the review's page and first in My tasks of the people who may decide."""
    with acting(COMMAND), operation("test:age", (AccessReview, busy.pk)) as op:
        op.get(AccessReview).due_at = now() - timedelta(days=1)
    for address in ("/admin/access/", f"/admin/access/review/{busy.pk}/"):
        assert '<span class="r-chip bad">overdue</span>' in html_of(browsers("auditor"), address)
    work = html_of(browsers("administrator"), "/admin/")
    assert "Review access grants" in work and 'class="urgent"' in work


def test_my_tasks_lists_pending_access_items_for_each_person(
    busy: AccessReview, browsers: Callable[[str], Any]
) -> None:
    second = html_of(browsers("second_administrator"), "/admin/")
    for words in ("Decide on access request", "Confirm delegation", "Confirm or reject change", "Confirm access grant"):
        assert words in second, words
    first = html_of(browsers("administrator"), "/admin/")
    assert "Confirm or reject change" not in first, "the second person is another one"
    assert "Decide on access request" not in html_of(browsers("committee_a"), "/admin/")


def test_my_tasks_lists_nothing_that_ones_other_account_requested(
    busy: AccessReview, people: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    for name in ("administrator", "second_administrator", "developer", "committee_a"):
        alter(people[name], employee_id="E-7")
    page = html_of(browsers("second_administrator"), "/admin/")
    for words in ("Decide on access request", "Confirm delegation", "Confirm or reject change", "Confirm access grant"):
        assert words not in page, words


def test_an_account_page_offers_the_operations_that_fit_it(
    busy: AccessReview, people: dict[str, Any], acting_as: Callable[..., Any], browsers: Callable[[str], Any]
) -> None:
    def offered(name: str, reader: str = "administrator") -> set[str]:
        html = html_of(browsers(reader), f"/admin/environments/account/{people[name].pk}/change/")
        keys = ("edit", "deactivate", "reactivate", "invite")
        found = {key for key in keys if f'data-verb="account:{key}"' in html}
        return found | {key for key in ("token:issue", "access:grant") if f'data-verb="{key}"' in html}

    assert offered("developer") == {"edit", "deactivate", "invite", "access:grant"}
    assert offered("administrator") == {"edit"}, "nothing of his own but what he is called"
    assert offered("ci") == {"edit", "deactivate", "token:issue", "access:grant"}
    assert offered("committee_b", "committee_b") == set() == offered("committee_b", "manager")
    with acting_as("administrator"):
        deactivate(people["developer"].pk, reason="left")
    assert offered("developer") == {"edit", "reactivate"}


def test_lists_of_tokens_requests_and_delegates_load(busy: AccessReview, browsers: Callable[[str], Any]) -> None:
    client = browsers("auditor")
    for name in ("token", "accessrequest", "accessreview", "delegation", "accessgrant", "account"):
        html = html_of(client, f"/admin/environments/{name}/")
        assert "There are no entries yet" not in html, name
        assert client.get(f"/admin/environments/{name}/", {"digest__startswith": "a"}).status_code in (302, 400), name


def test_more_grants_need_no_more_queries(
    busy: AccessReview, people: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    client = browsers("second_administrator")
    addresses = ["/admin/access/", f"/admin/access/review/{busy.pk}/", "/admin/environments/accessgrant/"]

    def counted() -> list[int]:
        counts = []
        for address in addresses:
            client.get(address)
            with capture_queries() as caught:
                html_of(client, address)
            counts.append(len(caught))
        return counts

    before = counted()
    with acting(COMMAND):
        for name in ("developer", "operator", "auditor", "manager", "project_manager"):
            for role in ("tester", "developer"):
                request_role(people[name].pk, role=role, reason="more")
    assert counted() == before
