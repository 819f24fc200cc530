"""A verb: the admin's form of an operation, with its permissions, states and fields. Operations hold all rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from inspect import Parameter, signature
from typing import Any

from django import forms
from django.apps import apps
from django.db.models import Model
from django.urls import reverse
from django.utils.translation import gettext as _, pgettext
from django_fsm import FSMField, can_proceed

from environments import access
from environments.admin.rights import Rights
from environments.application_scope import application_of
from environments.models import Account, Environment
from environments.roles import ENVIRONMENT_PERMISSIONS
from environments.times import ZONE
from releases.admin.operations.fields import must, reason
from releases.models import Release
from releases.queries import release_facts


def removed(row: Any) -> str:
    """Return the message for an entry that is already removed; empty until then."""
    return _("This entry was already removed or cancelled.") if row.removed_at is not None else ""


@dataclass(frozen=True)
class Preview:
    """Effects of the values of a form, row by row (name, value).

    held: hidden field → the value that was shown and is confirmed with it. asks: fields that the preview adds.
    """

    rows: list[tuple[str, str]]
    held: Mapping[str, str] = field(default_factory=dict)
    asks: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Shown:
    """One finding of a check of the form's values. result: passed, failed or unknown; expected: empty for none."""

    name: Any
    result: str
    says: str
    expected: str = ""

    @property
    def tone(self) -> str:
        """Return the colour of the result."""
        return {"passed": "good", "failed": "bad"}.get(self.result, "warn")

    @property
    def word(self) -> str:
        """Return the result in the reader's language."""
        return {"passed": _("passed"), "failed": pgettext("of a check", "failed")}.get(self.result, _("unknown"))


@dataclass(frozen=True)
class Verb:
    """One verb. `operation(pk, **cleaned)` for a verb on a row, `operation(**cleaned)` for one that creates a row.

    edge: the state machine's transition that must be possible (left out: the one of the verb's name); states: the
    states in which it is offered instead. fields: left out, the reason, where the operation takes one. rights: any
    one is enough; without any, why_not_permitted alone decides. The verb asks a right in the row's environment;
    everywhere: the operation asks all but an environment's own rights in all environments. for_all: it asks for all
    applications, whatever the row's. asked: the pairs of right
    and environment, where these rules do not suffice. why_not_permitted: why a person may not do it to a row whatever
    their rights, as the operation asks it. by_delegate: a delegate may do it for the absent person. over: why a row
    without a state machine has nothing left to do. preview: the effects of the form's values; the page shows them and
    asks for confirmation, and asks again when they have changed by then. looks: the preview reads something that
    changes, so only the form must stay the same. result_message: what the page says about the result. beside: fields
    that only the page with the preview shows. warns: the preview is shown only where it has content. makes: the model
    on whose list it is offered. tries: checks what the form's values name, before anything is stored; the form has a
    button for it (try_label). fills: values of fields that the query of a link stands for. from_file: its form can be
    filled from each line of a file.
    """

    noun: str
    name: str
    label: Any
    operation: Callable[..., Any]
    rights: tuple[str, ...]
    model: type[Model] | None = None
    fields: Callable[[Any], Mapping[str, forms.Field]] | None = None
    edge: str = ""
    states: frozenset[str] = frozenset()
    signs: bool = False
    danger: bool = False
    by_delegate: bool = False
    everywhere: bool = False
    for_all: bool = False
    asked: Callable[[Any], list[tuple[str, Environment | None]]] | None = None
    why_not_permitted: Callable[[Account, Any], str] | None = None
    page: Callable[[Any], str] | None = None
    makes: type[Model] | None = None
    shows: Callable[[Any], list[tuple[str, str]]] | None = None
    over: Callable[[Any], str] | None = None
    preview: Callable[[Any, dict[str, Any]], list[tuple[str, str]] | Preview] | None = None
    looks: bool = False
    result_message: Callable[[Any], str] | None = None
    beside: tuple[str, ...] = ()
    warns: bool = False
    tries: Callable[[Any, dict[str, Any]], list[Shown]] | None = None
    fills: Callable[[Any, Mapping[str, str]], dict[str, Any]] | None = None
    try_label: Any = ""
    from_file: bool = False

    def __post_init__(self) -> None:
        if self.model is None or self.edge or self.states or self.over:
            return
        machines = (column for column in self.model._meta.fields if isinstance(column, FSMField))
        named = {transition.name for machine in machines for transition in machine.get_all_transitions(self.model)}
        if self.name in named:
            object.__setattr__(self, "edge", self.name)

    def form_fields(self, instance: Any) -> Mapping[str, forms.Field]:
        """Return the fields of its form."""
        if self.fields is not None:
            return self.fields(instance)
        asked = _parameters(self.operation).get("reason")
        if asked is None:
            return {}
        return must(instance) if asked.default is Parameter.empty else reason(instance)

    def previewed(self, instance: Any, values: dict[str, Any]) -> Preview:
        """Return the effects of the form's values."""
        assert self.preview is not None
        found = self.preview(instance, values)
        return found if isinstance(found, Preview) else Preview(found)

    @property
    def chooses_application(self) -> bool:
        """Tell whether its form chooses the application in which the operation asks for its right."""
        return "application_id" in _parameters(self.operation)

    @property
    def key(self) -> str:
        """Return `noun:verb`, as the ledger names it."""
        return f"{self.noun}:{self.name}"

    def url(self, pk: Any = None) -> str:
        """Return the verb's address."""
        if pk is None:
            return reverse("operation-new", args=[self.noun, self.name])
        return f"{_before_key(self.noun, self.name)}{pk}/"

    def for_you(self, rights: Rights, instance: Any) -> bool:
        """Tell whether the reader may do it to this row, now or later; else there is no button."""
        return self.has_right(rights, instance) and not self.why_not(rights, instance)

    def has_right(self, rights: Rights, instance: Any) -> bool:
        """Tell whether the reader, or a person whom they stand in for, has one of the permissions."""
        if rights.account is None or not self.rights:
            return rights.account is not None and self.why_not_permitted is not None
        asked = self.asks(instance)
        chooses = self.chooses_application and application_of(instance) is None
        own = rights if self.for_all else rights.about(instance)
        scopes = [own, *(map(rights.about, rights.named) if chooses else ())]
        if any(scope.may(right, place) for scope in scopes for right, place in asked):
            return True
        absent = access.absent_persons_of(rights.account) if self.by_delegate else ()
        return any(
            access.may(person, right, place, application_of(instance)) for person in absent for right, place in asked
        )

    def refusal(self, rights: Rights, instance: Any) -> str:
        """Return why the verb is not for this reader; empty when it is."""
        if self.for_you(rights, instance):
            return ""
        why = self.why_not(rights, instance) if self.has_right(rights, instance) else ""
        undecided = access.undecided(rights.account) if rights.account is not None else ""
        return why or f"{_('You do not have permission to do this.')} {undecided}".strip()

    def asks(self, instance: Any) -> list[tuple[str, Environment | None]]:
        """Return its rights, each with the environment in which the operation asks it; None: in all of them."""
        if self.asked is not None:
            return self.asked(instance)
        place = environment_of(instance)
        return [
            (right, place if right in ENVIRONMENT_PERMISSIONS or not self.everywhere else None) for right in self.rights
        ]

    def why_not(self, rights: Rights, instance: Any) -> str:
        """Return why this reader may not do it to this row, whatever their permissions; empty when they may."""
        if rights.account is None or instance is None or self.why_not_permitted is None:
            return ""
        # A page asks for the same button in several places.
        known = instance.__dict__.setdefault("_why_not", {})
        if (asked := (self.key, rights.account.pk)) not in known:
            with access.about(instance):
                known[asked] = self.why_not_permitted(rights.account, instance)
        return str(known[asked])

    def not_now(self, instance: Any) -> str:
        """Return why the verb is not possible now; empty when it is."""
        if instance is not None and self.over is not None and (said := self.over(instance)):
            return said
        if instance is None or not hasattr(instance, "state"):
            return ""
        closed = self.edge and not can_proceed(getattr(instance, self.edge))
        if not closed and (not self.states or instance.state in self.states):
            return ""
        return _("This operation is not possible in the state “%(state)s”.") % {
            "state": _states(instance._meta.label)[instance.state]
        }


@cache
def _parameters(operation: Callable[..., Any]) -> Mapping[str, Parameter]:
    """Return what an operation takes; the inspection takes long, and a page asks for dozens."""
    return signature(operation).parameters


@cache
def _before_key(noun: str, name: str) -> str:
    """Return the part of a verb's address before the row's key, from the cache: a page shows dozens."""
    return reverse("operation", args=[noun, name, 0]).removesuffix("0/")


@cache
def _states(model: str) -> dict[str, Any]:
    """Return the states of a model with their labels; Django collects them again at each `get_state_display`."""
    return dict(apps.get_model(model)._meta.get_field("state").flatchoices)  # type: ignore[union-attr]


def environment_of(instance: Any) -> Environment | None:
    """Return the environment that a row belongs to, if any."""
    if isinstance(instance, Environment):
        return instance
    for path in (("environment",), ("deployment", "environment")):
        found = instance
        for name in path:
            found = getattr(found, name, None)
        if isinstance(found, Environment):
            return found
    return None


def zone_of(instance: Any) -> str:
    """Return the zone of times about a row: of its environment, or where a release is bound for; else the office's."""
    if isinstance(instance, Release):
        return release_facts.zone_of(instance)
    place = environment_of(instance)
    return place.zone if place is not None else ZONE
