"""A worker's records are read in each reader's language: on the page, in the log and by the API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import translation
from django.utils.html import escape

from audit.actor import acting
from environments.targets import words
from releases.models import Deployment, Step, StepOutput
from releases.worker.executor import run_from

from .conftest import TRUE, WORKER, first, row


@pytest.fixture
def recording() -> Iterator[None]:
    words.record()
    yield
    words.record(False)


def pages(browsers: Callable[[str], Any], address: str) -> dict[str, str]:
    """Return a page by the language in which an operator reads it."""
    found = {}
    for language in ("en", "ja"):
        client: Client = browsers("operator")
        client.defaults["HTTP_ACCEPT_LANGUAGE"] = language
        answer = client.get(address, headers={"accept-language": language})
        assert answer.status_code == 200
        found[language] = answer.content.decode()
    return found


def test_a_failure_and_its_log_are_shown_in_the_readers_language(
    world: Any, queued: Callable[..., Deployment], browsers: Callable[[str], Any], recording: None
) -> None:
    deployment = queued(row(TRUE), row(["/bin/false"]))
    with acting(WORKER):
        run_from(first(deployment).pk)
    step = Step.objects.get(deployment=deployment, state="failed")
    assert "⟦" in step.failure, step.failure
    words.record(False)
    said = {}
    for language in ("en", "ja"):
        with translation.override(language):
            said[language] = escape(words.in_words(step.failure))
    assert said["en"] != said["ja"]
    shown = pages(browsers, reverse("deployment", args=[deployment.pk]))
    log = pages(browsers, reverse("step-log", args=[step.pk]))
    assert StepOutput.objects.filter(step=step).exists()
    for language, page in shown.items():
        assert said[language] in page and "⟦" not in page + log[language], language
