"""What every part of a written procedure is made of: its origin, its words and its key."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from releases.procedures.values import Key, Origin, Text


class Part(BaseModel):
    """One part. `origin`: of the written procedure, or a Ringi default; `default_fields`: the defaults in a written
    part.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    origin: Origin
    default_fields: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _default_fields_exist(self) -> Self:
        for name in self.default_fields:
            if name not in type(self).model_fields or name in ("origin", "default_fields"):
                raise ValueError(f"default_fields names {name!r}, which is no field of this part")
        if self.default_fields and self.origin == "default":
            raise ValueError('default_fields is only written where origin is "written"')
        return self


class When(BaseModel):
    """The releases to which a row applies: those of these risk classes and types; an empty list asks nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    risk: tuple[Literal["low", "medium", "high"], ...] = ()
    kind: tuple[Literal["regular", "emergency", "pre_release"], ...] = ()

    def holds(self, kind: str, risk: str) -> bool:
        """Tell whether a release of a type and risk class is meant; one that is not known yet ("") counts as meant."""
        return all(
            not wanted or not known or known in wanted for wanted, known in ((self.kind, kind), (self.risk, risk))
        )


# Left out: the row applies to all releases.
Condition = Annotated[When | None, Field(exclude_if=lambda value: value is None)]


def meant(when: When | None, kind: str, risk: str) -> bool:
    """Tell whether a row with this condition applies to a release of a type and risk class."""
    return when is None or when.holds(kind, risk)


class Label(Part):
    """Words that people read, in both languages."""

    ja: Text
    en: Text

    def label(self, language: str) -> str:
        """Return the words in `language` (ja or ja-…: Japanese, anything else: English)."""
        return self.ja if language == "ja" or language.startswith("ja-") else self.en


class Item(Label):
    """Words with a key that code and rows refer to."""

    key: Key
