"""meeting:record and meeting:decide: the committee's meetings, to which personal approvals link (J3)."""

from datetime import datetime

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import Invalid, WrongState
from environments import access
from environments.models import Account
from releases.models import CommitteeMeeting, MeetingDecision, Release


def record(*, held_at: datetime, attendees: tuple[int, ...], minutes: str, reason: str = "") -> CommitteeMeeting:
    """Enter a meeting that was held: when, who attended (persons), and its minutes."""
    with change("meeting:record", reason=reason, sign=True) as act:
        account = access.require("minutes")
        people = Account.objects.filter(pk__in=attendees, kind=Account.Kind.PERSON)
        if not attendees or people.count() != len(set(attendees)):
            raise Invalid(_("Name the persons who attended."))
        if held_at > now():
            raise Invalid(_("A meeting is recorded after it was held."))
        if not minutes.strip():
            raise Invalid(_("The minutes are empty."))
        meeting = CommitteeMeeting.objects.create(held_at=held_at, minutes=minutes, recorded_by=account)
        meeting.attendees.set(people)
        act.signature("minutes")
        act.about(meeting, attendees=[str(person) for person in people])
    return meeting


def decide(meeting_id: int, *, release_id: int, decision: str, note: str = "") -> MeetingDecision:
    """Enter what the meeting decided about a release. It moves nothing: each attendee gives his own word."""
    with change("meeting:decide", (CommitteeMeeting, meeting_id), (Release, release_id), reason=note, sign=True) as act:
        access.require("minutes")
        meeting, release = act.get(CommitteeMeeting), act.get(Release)
        if decision not in MeetingDecision.Decision.values:
            raise Invalid(_("Unknown decision: %(decision)s") % {"decision": decision})
        if MeetingDecision.objects.filter(meeting=meeting, release=release).exists():
            raise WrongState(_("This meeting has already decided on this release."))
        made = MeetingDecision.objects.create(meeting=meeting, release=release, decision=decision, note=note)
        act.signature("minutes")
        act.about(made, decision=decision)
    return made
