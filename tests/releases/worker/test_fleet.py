"""A deployment to a fleet: each host's result is kept with the step, also after a failure, and shown on the page."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from audit.actor import acting
from releases.models import Deployment
from releases.worker.executor import run_from
from tests.releases.gates.asking import alter

from .conftest import WORKER, first, row

PROGRAM = shutil.which("ansible-playbook")
PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - fail: {msg: "no more room"}
      when: inventory_hostname == "spare.example"
"""
LOCAL = "ansible_connection=local ansible_python_interpreter=" + sys.executable


@pytest.mark.skipif(PROGRAM is None, reason="ansible-playbook is not on the PATH (extra `ansible`)")
@pytest.mark.timeout(300)
def test_a_failed_host_is_kept_and_shown_beside_the_others(
    world: Any, queued: Callable[..., Deployment], browsers: Callable[[str], Any]
) -> None:
    target = world.targets["development"]
    (Path(target.root) / "site.yml").write_text(PLAYBOOK)
    inventory = f"web.example {LOCAL}\nspare.example {LOCAL}\n"
    alter(target, options={"ansible": {"inventory": inventory, "playbook": "site.yml", "program": PROGRAM}})
    deployment = queued(row([]) | {"step_type": "ansible_playbook", "parameters": {}})
    with acting(WORKER):
        run_from(first(deployment).pk)
    step = first(deployment)
    assert step.state == "failed" and "spare.example (failed)" in step.failure
    assert {host: found["state"] for host, found in step.result["hosts"].items()} == {
        "web.example": "ok",
        "spare.example": "failed",
    }
    page = browsers("developer").get(reverse("deployment", args=[deployment.pk])).content.decode()
    table = page.split(f'data-hosts="{step.pk}"')[1].split("</table>")[0]
    assert "web.example" in table and "in order" in table and "failed" in table
    audit_only = browsers("auditor").get(reverse("deployment", args=[deployment.pk]))
    assert audit_only.status_code == 200
