"""What every part of a written procedure is made of: its origin, its words and its key."""

import re
from typing import Annotated, Any, Literal, Self

from django.utils.translation import gettext as _
from pydantic import BaseModel, ConfigDict, Field, model_validator

from releases.procedures.values import Key, Language, Origin, Text

LANGUAGE = re.compile("[a-z]{2}")


class Part(BaseModel):
    """One part. `origin`: of the written procedure, or a Ringi default; left out where there is no written procedure.
    `default_fields`: the defaults in a written part.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    origin: Origin = ""
    default_fields: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _default_fields_exist(self) -> Self:
        for name in self.default_fields:
            if name not in type(self).model_fields or name in ("origin", "default_fields"):
                raise ValueError(_("default_fields names %(name)r, which is no field of this part") % {"name": name})
        if self.default_fields and self.origin != "written":
            raise ValueError(_('default_fields is only written where origin is "written"'))
        return self


class When(BaseModel):
    """The releases to which a row applies: those of these risk classes and types; an empty list asks nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    risk: tuple[Literal["low", "medium", "high"], ...] = ()
    kind: tuple[Literal["regular", "standard", "emergency", "pre_release"], ...] = ()

    def holds(self, kind: str, risk: str) -> bool:
        """Tell whether a release of a type and risk class is meant; one that is not known yet ("") counts as meant."""
        return all(
            not wanted or not known or known in wanted for wanted, known in ((self.kind, kind), (self.risk, risk))
        )


LeftOutIfEmpty = Field(exclude_if=lambda value: not value)
# Left out: the row applies to all releases.
Condition = Annotated[When | None, Field(exclude_if=lambda value: value is None)]


def meant(when: When | None, kind: str, risk: str) -> bool:
    """Tell whether a row with this condition applies to a release of a type and risk class."""
    return when is None or when.holds(kind, risk)


class Label(Part):
    """Words that people read, in the languages of the procedure: a key for each (`de = "Prüfung"`). The pages read
    Japanese and English; where one is missing they show the other one, else the first of the further languages.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[Language, Text]
    ja: Text
    en: Text

    @model_validator(mode="before")
    @classmethod
    def _has_words_for_each_reader(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        words = [
            value[key]
            for key in ("en", "ja", *(name for name in value if name not in cls.model_fields))
            if key in value and LANGUAGE.fullmatch(str(key))
        ]
        return {"ja": words[0], "en": words[0], **value} if words else value

    def label(self, language: str) -> str:
        """Return the words in `language` (de, ja-JP …), in English where there are none."""
        named = {"ja": self.ja, **(self.__pydantic_extra__ or {})}
        return named.get(language.partition("-")[0], self.en)


class Item(Label):
    """Words with a key that code and rows refer to."""

    key: Key
