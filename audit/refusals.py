"""Why an act was refused. "Not you", "not now" and "sign first" are different answers, each with a sentence."""


class Refused(Exception):
    """An act that was not done; the database is as before but for the event that says so."""

    kind = "refused"
    # Whether the ledger has it already: the door writes its own refusals.
    written = False

    def __init__(self, *reasons: str) -> None:
        self.reasons = tuple(reasons)
        super().__init__(" ".join(reasons))


class NotYou(Refused):
    """The actor lacks the right or is kept out by a duty of another kind."""

    kind = "not_you"


class WrongState(Refused):
    """The object does not stand where this verb begins."""

    kind = "wrong_state"


class GateClosed(Refused):
    """A gate is not passed; the reasons name each one."""

    kind = "gate_closed"


class SignatureNeeded(Refused):
    """The verb is a signature, and the proof of identity that it needs is missing. digests: of what is to be signed."""

    kind = "signature_needed"
    digests: tuple[str, ...] = ()


class Invalid(Refused):
    """What was given does not make sense; the reasons say which value and why."""

    kind = "invalid"


class Taken(Invalid):
    """Another row has these values already. constraint: name of the unique constraint that says so."""

    def __init__(self, *reasons: str, constraint: str = "") -> None:
        super().__init__(*reasons)
        self.constraint = constraint
