"""Creates follow-up actions, with their due times, inside the operation that causes them (P2, P3, J1)."""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from environments import calendar
from environments.models import Environment, Holiday
from releases.gates.base import procedure_of
from releases.models import FollowUp, Release, Waiver
from releases.procedures.parts import Review

END_OF_DAY = time(18)
STANDARD_REVIEW = "standard_review"


def create(
    release: Release, key: str, since: datetime, zone: str, *, about: str = "", blocks: str = "next"
) -> FollowUp:
    """Create the follow-up action `key` of the procedure, due counted from `since`; `about` says what exactly is to be
    done.

    Raises LookupError for a key that the procedure does not have: only code names it.
    """
    content = procedure_of(release)
    rules: dict[str, Review] = {rule.key: rule for rule in content.follow_ups}
    if content.schedule.standard is not None and content.schedule.standard.review is not None:
        rules[STANDARD_REVIEW] = content.schedule.standard.review
    if key not in rules:
        raise LookupError(f"the procedure has no follow-up action {key!r}")
    rule = rules[key]
    return FollowUp.objects.create(
        application=release.application,
        release=release,
        key=key,
        label_ja=rule.ja,
        label_en=rule.en,
        about=about[:200],
        blocks=blocks,
        due_at=due(rule, since, zone, content.schedule.regular.country),
    )


def create_at_start(release: Release, environment: Environment, moment: datetime) -> list[FollowUp]:
    """Create what is due later for a deployment that starts now: for each waiver that lets it start, and for what an
    emergency skips.
    """
    follow_ups = []
    waivers = Waiver.objects.select_for_update(no_key=True).filter(
        release=release,
        environment=environment,
        approved_at__isnull=False,
        revoked_at=None,
        follow_up=None,
        until__gt=moment,
    )
    for waiver in waivers:
        waiver.follow_up = create(release, "waiver", moment, environment.zone, about=waiver.gate)
        waiver.save(update_fields=["follow_up"])
        follow_ups.append(waiver.follow_up)
    standard = procedure_of(release).schedule.standard
    if environment.protected and release.kind == Release.Kind.STANDARD and standard is not None and standard.review:
        follow_ups.append(create(release, STANDARD_REVIEW, moment, environment.zone))
    if environment.protected and release.kind == Release.Kind.EMERGENCY:
        follow_ups.append(create(release, "retrospective_review", moment, environment.zone))
        follow_ups.append(create(release, "full_review", moment, environment.zone))
    return follow_ups


def due(rule: Review, since: datetime, zone: str, country: str) -> datetime:
    """Return when a follow-up action is due, in hours or in working days of the country; the last day ends at 18:00 in
    the zone.
    """
    if rule.unit == "hours":
        return since + timedelta(hours=rule.within)
    company = {h.day: h.name_ja for h in Holiday.objects.filter(removed_at=None)}
    day = calendar.working_days_after(since.astimezone(ZoneInfo(zone)).date(), rule.within, country, company=company)
    return calendar.instant(datetime.combine(day, END_OF_DAY), zone)
