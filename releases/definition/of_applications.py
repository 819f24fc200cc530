"""The acts on applications, on what belongs to one, and on their targets."""

from collections.abc import Collection, Iterator
from typing import Any

from django.utils.translation import gettext as _

from releases.definition.act import Act, Run, Values, absent, act
from releases.definition.system import System
from releases.operations.application.create import create_application
from releases.operations.application.edit import edit
from releases.operations.application.retire import reinstate, retire
from releases.operations.application.set_allowed_signers import set_allowed_signers
from releases.operations.application.set_forge import set_forge
from releases.operations.application.set_publication import set_publication
from releases.operations.target.retire import reinstate as reinstate_target, retire as retire_target
from releases.operations.target.set_settings import OWN, create_target, set_hosts, set_metric_sources, set_settings
from releases.queries.definition_files import Address


def application(system: System, address: Address, before: Values | None, after: Values | None) -> Iterator[Act]:
    row = system.row(*address)
    if after is None:
        yield act(address, "application:retire", before, after, lambda reason: retire(row.pk, reason=reason))
    elif before is None and row is not None:
        kept = {"retired": False, "name": row.name, "repository": row.repository, "tag_format": row.tag_format}
        again = {"retired": True}, kept
        yield act(address, "application:reinstate", *again, lambda reason: reinstate(row.pk, reason=reason))
    elif before is None:
        yield act(
            address,
            "application:create",
            before,
            after,
            lambda reason: create_application(slug=address[1], **after, reason=reason),
        )
    else:
        given = {name: value for name, value in after.items() if name != "group"}
        fixed = (
            _("The group of an application is fixed when it is created.") if before["group"] != after["group"] else ""
        )
        yield act(
            address, "application:edit", before, after, lambda reason: edit(row.pk, **given, reason=reason), why=fixed
        )


def of_application(system: System, address: Address, before: Values | None, after: Values | None) -> Iterator[Act]:
    application = ("application", address[1])
    why, row, given = absent(system, application), system.row(*application), after or {}
    if row is None and after is None:
        return
    match address[0]:
        case "signers":
            event: str = "application:set_allowed_signers"

            def run(reason: str) -> Any:
                return set_allowed_signers(row.pk, signers=given.get("signers", ""), reason=reason)

        case "documents":
            event = "application:set_publication"

            def run(reason: str) -> Any:
                branch, folder = given.get("branch", ""), given.get("folder", "")
                return set_publication(row.pk, branch=branch, folder=folder, reason=reason)

        case _forge:
            event = "application:set_forge"

            def run(reason: str) -> Any:
                place = {name: given.get(name, "") for name in ("url", "project", "tickets")}
                return set_forge(row.pk, forge=given.get("provider", ""), **place, reason=reason)

    yield act(address, event, before, after, run, why)


def target(system: System, address: Address, before: Values | None, after: Values | None) -> Iterator[Act]:
    row, awaits = system.row(*address), system.awaited.get(address)
    application, environment = ("application", address[1]), ("environment", address[2])

    def on_target(event: str, run: Run, one: Values | None, two: Values | None, why: str = "") -> Act:
        return act(address, f"target:{event}", one, two, run, why, awaits)

    if after is None:
        yield on_target("retire", lambda reason: retire_target(row.pk, reason=reason), before, None)
    elif row is None:
        yield on_target(
            "create",
            lambda reason: create_target(
                application_id=system.row(*application).pk,
                environment_id=system.row(*environment).pk,
                name=address[3],
                root=after["root"],
                group=after["group"],
                settings=after["options"],
                reason=reason,
            ),
            None,
            after,
            absent(system, application, environment),
        )
    elif before is None:
        # What comes back is what was retired; the next plan shows how it differs.
        kept = {"retired": False, "root": row.root, "group": row.group, "options": row.options}
        again = {"retired": True}
        yield on_target("reinstate", lambda reason: reinstate_target(row.pk, reason=reason), again, kept)
    else:
        for event, run, names in (
            ("set_options", _set_options(row, after), None),
            ("set_outbound_hosts", _set_hosts(row, after), ("http_hosts",)),
            ("set_monitoring", _set_monitoring(row, after), ("metric_sources", "private_networks")),
        ):
            one, two = _part(before, names), _part(after, names)
            if one != two:
                yield on_target(event, run, one, two)


def _part(values: Values, names: Collection[str] | None) -> dict[str, Any]:
    """Return the part of a target that one operation sets. names: of its options; None: those that none sets."""
    if names is None:
        options = {name: value for name, value in values["options"].items() if name not in OWN}
        return {"root": values["root"], "group": values["group"], "options": options}
    return {"options": {name: value for name, value in values["options"].items() if name in names and value}}


def _set_options(row: Any, after: Values) -> Run:
    return lambda reason: set_settings(
        row.pk, root=after["root"], group=after["group"], settings=after["options"], reason=reason
    )


def _set_hosts(row: Any, after: Values) -> Run:
    return lambda reason: set_hosts(row.pk, hosts=after["options"].get("http_hosts", ()), reason=reason)


def _set_monitoring(row: Any, after: Values) -> Run:
    options = after["options"]
    return lambda reason: set_metric_sources(
        row.pk,
        sources=options.get("metric_sources", ()),
        private_networks=options.get("private_networks", ()),
        reason=reason,
    )
