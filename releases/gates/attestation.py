"""The gate of an attestation: the last statement about its subject says that it holds, and is still valid."""

from datetime import datetime

from django.utils.translation import get_language

from environments import calendar
from environments.models import Environment
from environments.targets.words import gettext as _
from releases.evidence_readers import statement
from releases.gates.base import Answer, GateContext, not_passed, passed, unknown
from releases.gates.quorum import words_for
from releases.models import Evidence
from releases.procedures.parts import Gate


def ask(context: GateContext, gate: Gate) -> Answer:
    """Evaluate the newest statement about the subject of the gate; one without a role that the gate names, and that
    counts in the environment asked about, counts for nothing.
    """
    rows = [r for r in context.known.evidence if r.kind == "statement" and r.values.get("subject") == gate.subject]
    if not rows:
        return unknown(gate, _("No statement about “%(subject)s” has been uploaded.") % _of(gate), "evidence")
    counting = [row for row in rows if not gate.roles or set(gate.roles) & _roles(row, context.environment)]
    if not counting:
        text = _("The statement about “%(subject)s” is not from one of these roles: %(roles)s.")
        return not_passed(gate, text % (_of(gate) | {"roles": words_for(gate.roles)}), "evidence")
    row = counting[0]
    if row.values.get("result") != "passed":
        return not_passed(gate, statement.said(row.values), "evidence")
    end = row.values.get("valid_until")
    if end is not None and context.at >= datetime.fromisoformat(str(end)):
        when = calendar.print_time(datetime.fromisoformat(str(end)), context.environment.zone, get_language() or "ja")
        text = _("The statement about “%(subject)s” was valid until %(when)s.")
        return not_passed(gate, text % (_of(gate) | {"when": when}), "evidence")
    return passed(gate, statement.said(row.values), "evidence")


def _roles(row: Evidence, environment: Environment) -> set[str]:
    """Return the roles under which a statement was uploaded that count in an environment: where it is about another
    one, those that its uploader held for all of them.
    """
    name = "roles" if row.environment_id == environment.pk else "roles_everywhere"
    return set(str(row.values.get(name, "")).split(", "))


def _of(gate: Gate) -> dict[str, str]:
    return {"subject": gate.subject}
