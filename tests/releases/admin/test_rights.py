"""Pages show the rights that operations check."""

from __future__ import annotations

from typing import Any

from environments import access
from environments.admin.rights import read_rights
from environments.roles import ENVIRONMENT_PERMISSIONS, ROLE_PERMISSIONS


def test_page_rights_agree_with_access_rights(people: dict[str, Any]) -> None:
    """For every member of the cast, every verb, and every environment."""
    from environments.models import Environment

    environments = [None, *Environment.objects.all()]
    verbs = sorted(ENVIRONMENT_PERMISSIONS.union(*ROLE_PERMISSIONS.values()))
    for account in people.values():
        rights = read_rights(account)
        for environment in environments:
            for verb in verbs:
                expected = access.may(account, verb, environment)
                assert rights.may(verb, environment) == expected, (account.username, verb, environment)
