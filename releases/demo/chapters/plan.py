"""Chapter 2: 1.3.0 is planned for the next regular window, then rescheduled into an extra one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from releases.demo.site import plain
from releases.demo.stage import Stage, now
from releases.demo.targets import third_wednesday

ZONE = ZoneInfo("Asia/Tokyo")
MILESTONES = (14, 7, 3, 1, 0)  # days before T-0


def play(stage: Stage) -> dict[str, Any]:
    """Plan, be refused outside a window, open an extra one with two approvals, reschedule."""
    release = stage.write(
        "1.3.0",
        kind="regular",
        branch="release/1.3",
        changes=[("feature", "Datasets can be tagged"), ("feature", "The export is limited")],
        EXPORT_LIMIT="500",
    )
    regular = third_wednesday(now() + timedelta(days=MILESTONES[0]))  # whose first milestone is not over
    stage.manager.do("release:set_scheduled_start", release, start=regular.isoformat(), reason="next regular window")
    page = plain(stage.manager.page(f"/admin/release/{release}/"))
    dates = {f"T-{days}": (regular - timedelta(days=days)).strftime("%Y/%m/%d") for days in MILESTONES}
    missing = [f"{key} {day}" for key, day in dates.items() if day not in page]
    stage.check(not missing, f"the release page does not show {missing}")
    outside = regular + timedelta(hours=9)
    following = third_wednesday(regular + timedelta(hours=9))
    refusal = stage.manager.refused("release:set_scheduled_start", release, start=outside.isoformat())
    named = following.strftime("%Y/%m/%d") in refusal.reasons
    stage.check(named, f"the refusal does not name the next window {following}: {refusal.reasons}")
    opens = now() - timedelta(minutes=1)
    request_id = stage.manager.do(
        "window:request",
        stage.ids["production"],
        application_id=stage.ids["datasets"],
        name="臨時 / Extra",
        starts_at=opens.isoformat(),
        ends_at=(opens + timedelta(hours=6)).isoformat(),
        reason="the demo cannot wait for the third Wednesday",
    )
    early = stage.manager.refused("release:set_scheduled_start", release, start=now().isoformat())
    stage.committee_a.approve(request_id)
    stage.committee_b.approve(request_id)
    stage.manager.do(
        "release:set_scheduled_start", release, start=now().isoformat(), reason="the committee opened a window"
    )
    page = stage.manager.page(f"/admin/release/{release}/")
    due_immediately = page.count("data-due_immediately")
    stage.check(due_immediately, "no milestone is shown as due_immediately after the move")
    return {
        "next regular window": regular.isoformat(),
        "milestones shown": dates,
        "outside the window": refusal.reasons,
        "before both had approved": early.reasons,
        "extra window": f"{opens.astimezone(ZONE):%H:%M} JST for 6 h, by two of the committee",
        "milestones due_immediately": due_immediately,
    }
