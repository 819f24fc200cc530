"""application:set_forge: where the merge requests of an application are read, and how its tickets are written."""

from audit.operation import operation
from audit.refusals import InvalidInput
from environments import access
from environments.models import Application
from releases.sources.forges import wrong_place


def set_forge(
    application_id: int, *, forge: str, url: str, project: str, tickets: str = "", reason: str
) -> Application:
    """Set provider (github, gitlab; empty: none), address of its interface, project, and the formats of tickets,
    separated by spaces. Raises InvalidInput.

    The server sends the secret FORGE_TOKEN to the address, and believes what it answers about reviews.
    """
    url, project = url.strip().rstrip("/"), project.strip().strip("/")
    wrong = wrong_place(forge, url, project, tickets) if forge else ""
    with operation("application:set_forge", (Application, application_id), reason=reason, sign=True) as op:
        access.require("plan", application=None)
        application = op.get(Application)
        op.require_reason()
        if wrong:
            raise InvalidInput(wrong)
        application.forge, application.ticket_formats = forge, " ".join(tickets.split())
        application.forge_url, application.forge_project = (url, project) if forge else ("", "")
    return application
