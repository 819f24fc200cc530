"""The authentication backend: passwords for persons, and Django's has_perm answered from the grants."""

from typing import Any

from django.contrib.auth.backends import ModelBackend

from environments.access import may
from environments.models import Account, sign_in_name


class GrantBackend(ModelBackend):
    """Password sign-in for persons, and has_perm from grants: every role may look, none may edit rows."""

    def authenticate(self, request: Any, username: Any = None, password: Any = None, **rest: Any) -> Any:
        """Check a password; the name is normalised, so that full-width letters reach the same account."""
        if username is not None:
            asked = sign_in_name(str(username))
            known = Account.objects.filter(username__iexact=asked).values_list("username", flat=True).first()
            username = known or asked
        return super().authenticate(request, username=username, password=password, **rest)

    def user_can_authenticate(self, user: Any) -> bool:
        """Refuse deactivated accounts and service accounts, which use tokens."""
        return super().user_can_authenticate(user) and user.kind == Account.Kind.PERSON

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        """Answer the admin: `view_…` for everyone with a role that may look; add, change and delete never."""
        return perm.split(".")[-1].startswith("view_") and may(user_obj, "read")

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        """Answer the admin's index."""
        return may(user_obj, "read")

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        """Return nothing: permissions are checked one by one."""
        return set()
