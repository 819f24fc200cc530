"""Sign-in names: each is of one account for good, also after the identity provider has renamed the person.

Step plans name the person who confirms a step. With a name that another account could have later, the provider would
choose that person.
"""

from typing import Any

from django.db.models import Q, QuerySet

from environments.models import Account


def accounts_named(name: str) -> QuerySet[Account]:
    """Return the account that has a sign-in name, or had it before; none where no account ever had it."""
    history: Any = Account.history
    return Account.objects.filter(
        Q(username__iexact=name) | Q(pk__in=history.filter(username__iexact=name).values("id"))
    )


def has_name(account: Account, name: str) -> bool:
    """Tell whether a sign-in name is of an account."""
    return account.username == name or accounts_named(name).filter(pk=account.pk).exists()
