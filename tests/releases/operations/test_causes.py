"""Causes of rollbacks and waived gates appear in the reader's words in every notification and page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import time
from typing import Any

import pytest
from django.conf import settings as configured
from django.urls import reverse
from django.utils import translation

from audit.actor import acting
from environments.admin.rights import Rights
from releases.admin.pages.approval_request.rows import clauses
from releases.gates.base import procedure_of
from releases.gates.content import document
from releases.models import Deployment, Notification, Rollback
from releases.operations.rollback import decide
from releases.queries.rollback_causes import (
    FAILED_CHECK,
    FAILED_STEP,
    NO_RESPONSE,
    OWN,
    REHEARSAL,
    cause_of,
    raiser_of,
    seen_of,
    words_of,
)
from releases.worker.trigger_reaction import react
from tests.releases.channel_types.receivers import MailHost
from tests.releases.gates.asking import alter, walk
from tests.releases.operations.notifying import WORKER, deliver, forget, make_notifications, only
from tests.releases.operations.test_waiver import waiver_requested

WORDS = {
    NO_RESPONSE: ("期限までに応答なし", "No one responded in time"),
    FAILED_STEP: ("デプロイのステップが失敗", "A step of the deployment failed"),
    FAILED_CHECK: ("検証が失敗", "The verification failed"),
    REHEARSAL: ("ロールバックの予行", "Rollback rehearsal"),
    "error_rate": ("エラーレート", "rror rate"),
    "data_inconsistent": ("データ", "ata"),
}


@pytest.fixture
def deployment(world: Any) -> Deployment:
    """A monitored deployment in production, with an empty outbox."""
    found: Deployment = walk(world.scheduled(), "enqueue", "start", "start_verification", "start_monitoring")
    only(("rollback:raise", None, "mail"))
    for name in ("second_operator", "manager"):
        alter(world.people[name], email=f"{name}@datasets.example", quiet_from=time(0), quiet_until=time(0))
    forget()
    return found


def raised(world: Any, deployment: Deployment, cause: str) -> Rollback:
    """Raise an alarm as each origin does: monitoring, an expired decision request, a person."""
    if cause == "error_rate":
        with acting(WORKER):
            react(deployment.pk, None, [{"key": cause, "critical": True, "k": 3, "n": 5}], [])
    elif cause == NO_RESPONSE:
        with acting(WORKER), translation.override("ja"):
            decide.raise_(deployment.pk, cause=cause, note="機械の言葉")
    else:
        with world.acting_as("operator"):
            decide.raise_(deployment.pk, cause=cause, note="two totals differ")
    return Rollback.objects.get()


@pytest.mark.parametrize("cause", ["error_rate", "data_inconsistent", NO_RESPONSE])
def test_each_alarm_names_its_cause_in_both_languages_by_mail_and_on_its_page(
    world: Any, deployment: Deployment, host: MailHost, browsers: Callable[[str], Any], cause: str
) -> None:
    alarm = raised(world, deployment, cause)
    (notification,) = [one for one in make_notifications() if one.event == "rollback:raise"]
    for language, said in zip(("ja", "en"), WORDS[cause], strict=True):
        assert said in notification.texts[language]["body"] and cause not in notification.texts[language]["body"]
        client = browsers("manager")
        client.cookies[configured.LANGUAGE_COOKIE_NAME] = language
        for page in ("rollback", "rollback-report"):
            html = client.get(reverse(page, args=[alarm.pk]), headers={"accept-language": language}).content.decode()
            assert said in html, (page, language)
        with translation.override(language):
            assert said in cause_of(alarm)
    deliver()
    assert len(host.mails) == 2 and all(
        WORDS[cause][0] in str(mail.get_body(("plain",)).get_content()) for mail in host.mails
    )


def test_a_process_cause_is_in_the_readers_language_and_a_persons_note_is_unchanged(
    world: Any, deployment: Deployment
) -> None:
    alarm = raised(world, deployment, NO_RESPONSE)
    with translation.override("en"):
        assert (
            seen_of(alarm).startswith("No one responded in time, so the deployment")
            and raiser_of(alarm) == "a decision request without a response in time"
        )
    with translation.override("ja"):
        assert "期限までに" in seen_of(alarm)


def test_the_monitoring_result_names_the_measurements_and_a_persons_comment(world: Any, deployment: Deployment) -> None:
    alarm = raised(world, deployment, "error_rate")
    with translation.override("ja"):
        assert seen_of(alarm) == "5 回の測定のうち 3 回がしきい値以上" and raiser_of(alarm) == "監視"
    walk(alarm, "dismiss")
    with world.acting_as("operator"):
        said = decide.raise_(deployment.pk, cause="error_rate", note="two totals differ")
    assert (seen_of(said), raiser_of(said)) == ("two totals differ", "Operator")


def test_every_automatic_cause_has_a_label(world: Any) -> None:
    content = procedure_of(world.planned())
    for place, language in enumerate(("ja", "en")):
        with translation.override(language):
            assert {key: words_of(content)[key] for key in OWN} == {key: WORDS[key][place] for key in OWN}


@pytest.mark.parametrize(
    ("gate", "ja", "en"), [("coverage", "カバレッジ", "overage"), ("milestone:testing_completed", "テスト", "est")]
)
def test_a_waived_gate_is_named_in_both_languages(world: Any, gate: str, ja: str, en: str) -> None:
    only(("waiver:request", None, "admin"))
    release = world.planned()
    forget()
    waiver = waiver_requested(world, release, gate=gate)
    (notification,) = [one for one in make_notifications() if one.event == "waiver:request"]
    for language, said in (("ja", ja), ("en", en)):
        assert said in notification.texts[language]["body"] and gate not in notification.texts[language]["body"]
    assert Notification.objects.get().path.endswith("#waivers") and waiver.gate == gate


def test_approved_waivers_are_shown_in_words(world: Any) -> None:
    from releases.operations.waiver import decide as waivers

    release, approval_request = world.submitted()
    nobody = Rights(None)
    assert next(one.text for one in clauses(approval_request, nobody) if one.key == "waivers") == "—"
    release = world.planned("1.4.0")
    waiver = waiver_requested(world, release)
    with world.acting_as("project_manager"):
        waivers.approve(waiver.pk)
    approval_request.document |= {"waivers": document(release, world.environments["production"])["waivers"]}
    for language, said in (("ja", "カバレッジ"), ("en", "overage")):
        with translation.override(language):
            assert said in next(one.text for one in clauses(approval_request, nobody) if one.key == "waivers")
