"""One page of numbers over HTTP, for the metric sources that read one; a failed request is a Reading."""

from datetime import UTC, datetime

from environments.targets.base import TargetSpec
from environments.targets.words import gettext as _
from releases.metric_sources.base import Reading
from releases.metric_sources.fetch import Fetched, NoAnswer, ask


def page_of(target: TargetSpec, url: str, seconds: float) -> tuple[datetime, Fetched | Reading]:
    """Return the request's time (aware, UTC) and the page; url: empty = `metrics_url` of the target; seconds: deadline.

    No answer, or a status of 500 and above, is a Reading that is not up; any other one than 200 is up without values.
    """
    at = datetime.now(UTC)
    url = url or str(target.settings.get("metrics_url", ""))
    if not url:
        return at, Reading(at, False, {}, _("The target options have no “metrics_url”."))
    try:
        page = ask(url, target, seconds=seconds)
    except NoAnswer as error:
        return at, Reading(at, False, {}, str(error))
    if page.status != 200:
        return at, Reading(at, page.status < 500, {}, _("The page answered %(status)s.") % {"status": page.status})
    return at, page
