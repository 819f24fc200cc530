"""account:use_break_glass: somebody signed in with an account that is for break-glass; administrators and auditors are
notified.
"""

from audit.operation import operation
from environments.models import Account


def use_break_glass(account_id: int) -> None:
    """Write that the account was used, by the person who signs in with it."""
    with operation("account:use_break_glass", (Account, account_id)) as op:
        op.about(op.get(Account), address=op.actor.address)
