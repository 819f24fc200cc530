"""recipient:add, recipient:add_without_account, recipient:remove: the recipients of a group."""

from django.conf import settings
from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.plain import is_blank, plain
from audit.refusals import InvalidInput, NotPossible
from environments import access
from environments.models import Account
from releases.channel_types.base import Address
from releases.channel_types.mail import Mail
from releases.models import GroupRecipient, RecipientGroup

LANGUAGES = ("ja", "en")


def add(group_id: int, *, account_id: int, reason: str = "") -> GroupRecipient:
    """Add a person with an account to a group; language and mail address are the account's. Raises InvalidInput."""
    with operation("recipient:add", (RecipientGroup, group_id), reason=reason) as op:
        access.require("configure_notifications")
        group = _open(op.get(RecipientGroup))
        account = Account.objects.filter(pk=account_id, kind=Account.Kind.PERSON, is_active=True).first()
        if account is None:
            raise InvalidInput(_("Only a person with an active account can be a recipient."))
        if group.recipients.filter(account=account, removed_at=None).exists():
            raise InvalidInput(_("%(who)s is a recipient already.") % {"who": str(account)})
        made = GroupRecipient.objects.create(group=group, account=account, language=account.language)
        op.about(made, group=group.key)
    return made


def add_external(group_id: int, *, name: str, address: str, language: str, reason: str) -> GroupRecipient:
    """Add a person without an account to a group, under signature. Raises InvalidInput."""
    with operation("recipient:add_without_account", (RecipientGroup, group_id), reason=reason, sign=True) as op:
        access.require("configure_notifications")
        group = _open(op.get(RecipientGroup))
        if is_blank(name) or is_blank(reason):
            raise InvalidInput(_("Name and reason are both needed."))
        if language not in LANGUAGES:
            raise InvalidInput(_("The selected language is not available."))
        if fault := Mail().fault(Address(address.strip(), hosts=tuple(settings.MAIL_DOMAINS))):
            raise InvalidInput(fault)
        if group.recipients.filter(address__iexact=address.strip(), removed_at=None).exists():
            raise InvalidInput(_("%(who)s is a recipient already.") % {"who": address.strip()})
        made = GroupRecipient.objects.create(
            group=group, name=plain(name, _("name")), address=address.strip(), language=language
        )
        op.about(made, group=group.key)
        op.signature()
    return made


def remove(member_id: int, *, reason: str = "") -> GroupRecipient:
    """Remove a recipient from a group. Raises NotPossible."""
    with operation("recipient:remove", (GroupRecipient, member_id), reason=reason) as op:
        access.require("configure_notifications")
        row = op.get(GroupRecipient)
        if row.removed_at is not None:
            raise NotPossible(_("This recipient was removed already."))
        row.removed_at = now()
    return row


def _open(group: RecipientGroup) -> RecipientGroup:
    if group.closed_at is not None:
        raise NotPossible(_("The recipient group is closed already."))
    return group
