"""Which keys are of one person, by all accounts that are or were connected."""

from collections.abc import Callable

from audit.one_look import once_a_look
from environments.models import Account


@once_a_look
def same_person() -> Callable[[str], str]:
    """Return a function from the key of a person to one that all keys of the same person share. A row that names a
    person by a key may be older than what is known of their accounts.
    """
    leaders: dict[str, str] = {}

    def leader(key: str) -> str:
        while (above := leaders.get(key, key)) != key:
            key = above
        return key

    columns = ("employee_id", "former_identities", "kept_identities")
    for account in Account.objects.only(*columns).order_by("pk"):
        for key in account.identities:
            if key.startswith(Account.PERSON_KEYS):
                leaders[leader(key)] = leader(account.person_key)
    return leader
