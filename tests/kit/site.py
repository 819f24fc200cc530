"""The static site of `make applications` on a server that follows docs/how-to/install.md, and its release."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from django.conf import settings

# The modules that read a procedure ask for it; nothing else of Django is used out here.
settings.configure(OFFICE_TIME_ZONE="Asia/Tokyo")

from tests.applications.organisation import Organisation, Target  # noqa: E402
from tests.applications.static_site import NGINX, StaticSite  # noqa: E402
from tests.applications.story import Story  # noqa: E402

STATE = Path("/srv/handbook")


class Site(StaticSite):
    """Its operators give the folder to the group of Ringi, and started it under the account that goes on with it."""

    def lay(self, target: Target) -> None:
        """Give the folder the group and the mode that the page names."""
        shutil.chown(target.root, group="ringi-targets")
        target.root.chmod(0o2770)

    def start_by_hand(self, target: Target) -> subprocess.Popen[bytes]:
        """Start nginx as the account of the worker."""
        nginx = self.write_configuration(target)
        account = f"ringi-{target.environment}"
        become = ["setpriv", f"--reuid={account}", f"--regid={account}", "--init-groups", "--no-new-privs"]
        words = [*become, NGINX, "-c", str(nginx), "-g", "daemon off;"]
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True)


def release(address: str, username: str, invitation: str) -> None:
    """Bring a version to production by the pages; print what was seen as JSON."""
    os.umask(0o002)
    STATE.mkdir()
    what = Site()
    at = Organisation(STATE, address, what)
    at.set_up(username, invitation)
    story = Story(at)
    story.register()
    before = what.version_served(at.places["production"])
    at.prepare(what.sound)
    deployment = at.go(what.sound)
    at.checks_done(deployment)
    at.verify(deployment)
    state = at.finished(deployment, {"succeeded"}, 120)
    if at.faults:
        raise SystemExit("\n".join(at.faults))
    place = at.places["production"]
    print(
        json.dumps(
            {
                "people": len(at.people),
                "before": before,
                "version": what.sound,
                "state": state,
                "address": place.address,
                "tree": place.measure().code == at.tree(what.sound),
            }
        )
    )


if __name__ == "__main__":
    release(*sys.argv[1:])
