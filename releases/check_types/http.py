"""The check type that requests one page of the service; used by deployments and monitoring."""

import json
import re
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from environments.targets.base import Parameters
from environments.targets.json_paths import at_path
from environments.targets.words import gettext as _
from releases.check_types.base import CheckContext, CheckResult, CheckType, Result
from releases.check_types.excerpt import excerpt
from releases.metric_sources.fetch import Fetched, NoAnswer, TooSlow, ask

# Asks caches for the service's own answer; one that does not obey tells the age of its answer (RFC 9111).
FRESH = {"Cache-Control": "no-cache"}
PATH = re.compile(r"/(?!/)[\x21-\x5b\x5d-\x7e]*")


def _page(value: str) -> str:
    if not PATH.fullmatch(value):
        raise ValueError(_("must be a path that begins with one / and has neither spaces nor backslashes"))
    return value


PagePath = Annotated[str, AfterValidator(_page)]


class HttpParameters(Parameters):
    """path: path (and query) below the target's base address. status: the status expected.

    contains: text that the body must have. json_equals: dotted path → value that the JSON body must have
    ("datasets.0.id"). seconds: longest time for the whole answer.
    """

    path: PagePath = "/health"
    status: int = Field(default=200, ge=100, le=599)
    contains: str = ""
    json_equals: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    seconds: float = Field(default=5.0, gt=0, le=60)


class Http(CheckType):
    """Requests one page of the service; never another address, redirects are not followed."""

    name: ClassVar[str] = "http"
    parameters: ClassVar[type[Parameters]] = HttpParameters

    def run(self, context: CheckContext, parameters: HttpParameters) -> CheckResult:
        """Request once. Too slow is a failure, no answer an error, and what a cache has kept is stale."""
        limit = f"{parameters.status}, ≤ {parameters.seconds:g} s"
        base = str(context.target.settings.get("urls", {}).get("base", "")).rstrip("/")
        if not base:
            text = _("The options of the deployment target have no base address.")
            return CheckResult(Result.ERROR, limit=limit, output=text)
        try:
            answer = ask(base + parameters.path, context.target, seconds=parameters.seconds, headers=FRESH)
        except TooSlow:
            text = _("The answer was not complete in time.")
            return CheckResult(Result.FAILED, f"> {parameters.seconds:g} s", limit, text)
        except NoAnswer as error:
            return CheckResult(Result.ERROR, limit=limit, output=str(error))
        age = answer.headers.get("age", "")
        if age.isascii() and age.isdigit() and int(age):
            text = _("A cache has answered, and its answer is %(seconds)s seconds old.") % {"seconds": age}
            return CheckResult(Result.STALE, f"{answer.status}", limit, text)
        faults = faults_of(answer, parameters)
        body = answer.body.decode("utf-8", "replace").splitlines()
        output = excerpt([f"GET {parameters.path}", *faults, *body], context)
        value = f"{answer.status}, {answer.seconds:.3f} s"
        return CheckResult(Result.FAILED if faults else Result.PASSED, value, limit, output)


def faults_of(answer: Fetched, parameters: HttpParameters) -> list[str]:
    """Return a message for every part of an answer that is not as expected."""
    faults = []
    if answer.status != parameters.status:
        faults.append(_("The status is %(status)s.") % {"status": answer.status})
    if parameters.contains and parameters.contains not in answer.body.decode("utf-8", "replace"):
        faults.append(_("The body does not contain “%(text)s”.") % {"text": parameters.contains})
    if parameters.json_equals:
        try:
            content = json.loads(answer.body)
        except ValueError:
            return [*faults, _("The body is not JSON.")]
        for path, wanted in parameters.json_equals.items():
            found = at_path(content, path)
            # 1 and true are equal in Python, but not in JSON.
            if found != wanted or isinstance(found, bool) != isinstance(wanted, bool):
                faults.append(_("%(path)s is %(found)s.") % {"path": path, "found": json.dumps(found)[:100]})
    return faults
