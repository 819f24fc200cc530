"""meeting:record and meeting:decide: the committee's meetings, to which approval decisions link (J3)."""

from datetime import datetime

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.plain import is_blank
from audit.refusals import InvalidInput, NotPossible
from environments import access
from environments.models import Account
from releases.models import CommitteeMeeting, MeetingDecision, Release


def record(*, held_at: datetime, attendees: tuple[int, ...], minutes: str, reason: str = "") -> CommitteeMeeting:
    """Record a meeting that was held: its time, attendees (persons) and minutes."""
    with operation("meeting:record", reason=reason, sign=True) as op:
        account = access.require("record_meeting")
        people = Account.objects.filter(pk__in=attendees, kind=Account.Kind.PERSON)
        if not attendees or people.count() != len(set(attendees)):
            raise InvalidInput(_("Name the persons who attended."))
        if held_at > now():
            raise InvalidInput(_("A meeting is recorded after it was held."))
        if is_blank(minutes):
            raise InvalidInput(_("The minutes are empty."))
        meeting = CommitteeMeeting.objects.create(held_at=held_at, minutes=minutes, recorded_by=account)
        meeting.attendees.set(people)
        op.signature()
        op.about(meeting, attendees=[str(person) for person in people])
    return meeting


def decide(meeting_id: int, *, release_id: int, decision: str, note: str = "") -> MeetingDecision:
    """Record what the meeting decided about a release. It changes no state: each attendee decides in their own name."""
    with operation(
        "meeting:decide", (CommitteeMeeting, meeting_id), (Release, release_id), reason=note, sign=True
    ) as op:
        access.require("record_meeting")
        meeting, release = op.get(CommitteeMeeting), op.get(Release)
        if decision not in MeetingDecision.Decision.values:
            raise InvalidInput(_("Unknown decision: %(decision)s") % {"decision": decision})
        if MeetingDecision.objects.filter(meeting=meeting, release=release).exists():
            raise NotPossible(_("This meeting has already decided on this release."))
        made = MeetingDecision.objects.create(meeting=meeting, release=release, decision=decision, note=note)
        op.signature()
        op.about(made, decision=decision)
    return made
