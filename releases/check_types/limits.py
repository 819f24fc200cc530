"""Limits of a measured value: equal to a text, or between two numbers; parameters shared by check types."""

from decimal import Decimal, InvalidOperation

from environments.targets.base import Parameters
from environments.targets.declared import Field


class LimitParameters(Parameters):
    """equals: the value as text. at_least, at_most: lowest and highest number; decimal text keeps them exact."""

    equals: str | None = None
    at_least: Decimal | None = Field(default=None, allow_inf_nan=False)
    at_most: Decimal | None = Field(default=None, allow_inf_nan=False)

    @property
    def limited(self) -> bool:
        """Say whether there is any limit."""
        return any(limit is not None for limit in (self.equals, self.at_least, self.at_most))

    def limit_text(self) -> str:
        """Return the limits as people read them."""
        parts = [] if self.equals is None else [f"= {self.equals}"]
        parts += [] if self.at_least is None else [f"≥ {self.at_least}"]
        parts += [] if self.at_most is None else [f"≤ {self.at_most}"]
        return ", ".join(parts)

    def holds(self, value: str) -> bool | None:
        """Tell whether a value keeps the limits; None: a number is required and the value is none."""
        number = number_of(value)
        if self.equals is not None:
            wanted = number_of(self.equals)
            if not (value == self.equals if wanted is None or number is None else number == wanted):
                return False
        if self.at_least is None and self.at_most is None:
            return True
        if number is None:
            return None
        return (self.at_least is None or number >= self.at_least) and (self.at_most is None or number <= self.at_most)


def number_of(text: str) -> Decimal | None:
    """Return a finite decimal number, or None."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
