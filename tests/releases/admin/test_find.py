"""Find: everything by its name, in every way of writing, and nothing that the reader does not see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from tests.releases.admin.conftest import pages_template, seeded

__all__ = ["pages_template", "seeded"]


def found(client: Any, asked: str) -> dict[str, list[tuple[str, str]]]:
    """Return group → (words, address) of what is shown."""
    answer = client.get(reverse("find"), {"q": asked})
    assert answer.status_code == 200
    return {group.name: group.found for group in answer.context["groups"]}


def test_things_people_pages_operations_and_terms_are_found(
    seeded: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    client, review = browsers("manager"), seeded["review"]
    by_version = found(client, "1.3.0")
    assert (str(review), reverse("release", args=[review.pk])) in by_version["releases"]
    assert by_version["deployments"]
    assert found(client, review.number)["releases"] == [(str(review), reverse("release", args=[review.pk]))]
    assert found(client, review.commit[:9])["releases"]
    assert "Committee A" in [words for words, _address in found(client, "Committee A")["accounts"]]
    assert (("Change freezes"), reverse("admin:environments_changefreeze_changelist")) in found(client, "freeze")[
        "Pages"
    ]
    assert any("access" in words.lower() for words, _address in found(client, "request")["Operations"])
    assert found(client, "rollback")["Glossary"]
    for group in (*by_version.values(), *found(client, "freeze").values()):
        for _words, address in group:
            assert client.get(address, follow=True).status_code == 200, address


@pytest.mark.parametrize("asked", ["１．３．０", "1.3.0 ", "v1.3.0"])
def test_width_and_blanks_do_not_matter(asked: str, seeded: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    assert found(browsers("manager"), asked)["releases"]


@pytest.mark.parametrize("asked", ["", "   ", "no such thing", "%", "'", "\\", "x" * 5000, "<script>"])
def test_what_is_no_name_finds_nothing(asked: str, seeded: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    assert found(browsers("manager"), asked) == {}


def test_a_list_shows_a_few_and_leads_to_all(
    seeded: dict[str, Any], browsers: Callable[[str], Any], acting_as: Callable[..., Any]
) -> None:
    from tests.releases.admin import seed

    seed.more(acting_as, seeded, 12)
    client = browsers("manager")
    answer = client.get(reverse("find"), {"q": seeded["application"].name})
    several = [group for group in answer.context["groups"] if group.all]
    assert several and all(len(group.found) == 6 for group in several)
    assert client.get(several[0].all).status_code == 200


def test_a_reader_of_one_application_finds_nothing_of_another(
    seeded: dict[str, Any], browsers: Callable[[str], Any], acting_as: Callable[..., Any]
) -> None:
    """The limits of the lists hold: the same search, before and after the reader's grants are limited."""
    from environments.models import AccessGrant, Application
    from tests.releases.gates.asking import alter

    other = Application.objects.exclude(pk=seeded["application"].pk).first()
    assert other is not None
    client, release = browsers("auditor"), seeded["review"]
    assert found(client, "1.3.0")["releases"]
    for grant in AccessGrant.objects.filter(account__username="auditor"):
        alter(grant, application=other)
    assert str(release) not in str(found(client, "1.3.0"))
    assert found(client, seeded["application"].name) == {}


def test_an_operation_is_found_beside_the_row_that_is_named_with_it(
    seeded: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    """The words of the operation and of the row stand in any order; only who may do it now is offered it."""
    review = seeded["review"]
    withdraw = (f"Withdraw request: {review}", reverse("operation", args=["release", "withdraw_request", review.pk]))
    for asked in ("withdraw 1.3.0", "1.3.0 withdraw", "ＷＩＴＨＤＲＡＷ １．３．０"):
        assert withdraw in found(browsers("manager"), asked)["Operations"], asked
    assert "Operations" not in found(browsers("auditor"), "withdraw 1.3.0")
    assert "Operations" not in found(browsers("manager"), "withdraw 9.9.9")
    assert "Operations" not in found(browsers("manager"), "testing 1.3.0"), "what is not possible now"


def test_what_names_one_row_leads_to_what_may_be_done_there(
    seeded: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    review = seeded["review"]
    client = browsers("manager")
    offers = found(client, review.number)["Operations"]
    assert f"Withdraw request: {review}" in [words for words, _address in offers]
    assert all(client.get(address).status_code == 200 for _words, address in offers)
    assert "Operations" not in found(browsers("auditor"), review.number)
