"""A step type: a run of a pipeline that deploys for Ringi: started once, followed, found again after a crash."""

import json
import re
import time
from typing import Annotated, Any, ClassVar, Literal

from environments.targets.base import NotProven, Overdue, Parameters, Probe, StepContext, StepFailed, StopRequested
from environments.targets.declared import Field, StringConstraints, model_validator
from environments.targets.masking import masked
from environments.targets.runner import secrets_of
from environments.targets.target import Held, TargetStep, journal, journal_lines
from environments.targets.words import gettext as _
from releases.sources.exchange import Fetched, NoAnswer, fetch
from releases.sources.pipelines import PROVIDERS, GitHubWaiting, Provider, Refused, Run
from releases.step_types.http_call import Url, listed

# A run was asked for, and is this one; it succeeded; it ended otherwise, or there is none: a retry asks for another.
REQUESTED, STARTED = "pipeline_run:requested", "pipeline_run:started"
DONE, OVER = "pipeline_run:done", "pipeline_run:over"
ANSWER_SECONDS = 30.0
# How long a run that was asked for is looked for: providers list a new one some seconds later.
FIND_SECONDS = 60.0
# So many answers in a row may be missing before the step fails; the run itself goes on.
MOST_MISSES = 20
PLACE = re.compile(r"\{(version|tag|commit|digest|environment|key|traceparent)\}")
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=500)]


class PipelineParameters(Parameters):
    """provider: github (Actions), gitlab (CI), or webhook (any server that speaks the protocol). url: of its interface.

    project: owner/name, or the project's path; workflow: file of a workflow of GitHub. ref, inputs, waits_in: text in
    which {version}, {tag}, {commit}, {digest}, {environment}, {key} and {traceparent} are replaced. waits_in:
    environment of GitHub at which a run of the commit waits for Ringi's review; no run is started then. token: the key
    of the configuration that holds the access token. poll_seconds: between two looks.
    """

    provider: Literal["github", "gitlab", "webhook"]
    url: Url = "https://api.github.com"
    project: Line = ""
    workflow: Line = ""
    ref: Line = "{tag}"
    inputs: dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")], Line] = Field(
        default_factory=dict
    )
    waits_in: Line = ""
    token: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = "PIPELINE_TOKEN"
    poll_seconds: float = Field(default=5.0, gt=0, le=300)

    @model_validator(mode="after")
    def _whole(self) -> "PipelineParameters":
        if self.provider != "webhook" and not self.project:
            raise ValueError(_("project is missing"))
        if self.provider == "github" and not self.workflow:
            raise ValueError(_("workflow is missing"))
        if self.waits_in and (self.provider != "github" or self.inputs):
            raise ValueError(_("waits_in is for github, without inputs: the run has begun already"))
        return self


class PipelineRun(TargetStep):
    """Starts one run for this step and waits for its end; a run of this step that is there already is followed."""

    name: ClassVar[str] = "pipeline_run"
    parameters: ClassVar[type[Parameters]] = PipelineParameters
    repeatable: ClassVar[bool] = True
    estimate_seconds: ClassVar[float] = 300

    def make(self, context: StepContext, held: Held, parameters: PipelineParameters) -> dict[str, Any]:
        """Follow the run to its end; facts: run, url, says, seconds.

        Raises StepFailed when it did not succeed, or where no version was there before, NotProven when it was asked for
        and cannot be found, Overdue.
        """
        if done := journal_lines(context.target, key=context.key, effect=DONE):
            return _facts(done[-1])
        if context.wanted is None:
            raise StepFailed(_nothing_before())
        began = time.monotonic()
        provider = _provider(context, parameters)
        run = self._run(context, held, parameters, provider)
        try:
            run = _followed(context, held, parameters, provider, run)
        except (StopRequested, Overdue):
            _cancelled(context, provider, run)
            raise
        run = provider.ended(run)
        context.output("".join(f"{line}\n" for line in run.lines).encode())
        facts = {"run": run.id, "url": run.url, "says": run.says, "seconds": round(time.monotonic() - began, 1)}
        if run.state != "succeeded":
            journal(context, OVER)
            last = masked("\n".join(run.lines[-10:]), secrets_of(context))
            text = _("the pipeline run ended as “%(says)s”: %(url)s") % {"says": run.says, "url": run.url}
            raise StepFailed(text, state=last, facts=facts)
        journal(context, DONE, **facts)
        return facts

    def look(self, context: StepContext, held: Held, parameters: PipelineParameters) -> tuple[Probe, dict[str, Any]]:
        """Done by the journal. A run that goes on is not done: `make` follows it, and starts no second one."""
        if done := journal_lines(context.target, key=context.key, effect=DONE):
            return Probe.DONE, _facts(done[-1])
        return Probe.NOT_DONE, {}

    def describe(self, context: StepContext, parameters: PipelineParameters) -> list[str]:
        """Return the lines of the dry run. Raises StepFailed for a host that is not listed."""
        listed(context.target.settings, parameters.url)
        if context.wanted is None:
            return [_nothing_before()]
        key = key_of(context)
        named = " ".join(filter(None, (parameters.project, parameters.workflow)))
        lines = [f"{parameters.provider} {parameters.url} {named} @ {_filled(context, parameters.ref, key)}"]
        if parameters.waits_in:
            where = _filled(context, parameters.waits_in, key)
            text = _("approve the run of the commit that waits at “%(where)s”")
            line = f"{parameters.provider} {parameters.url} {named} @ {context.wanted.commit}"
            return [line, text % {"where": where}]
        lines += [f"{name}={_filled(context, value, key)}" for name, value in parameters.inputs.items()]
        return [masked(line, secrets_of(context)) for line in lines]

    def _run(self, context: StepContext, held: Held, parameters: PipelineParameters, provider: Provider) -> Run:
        """Return the run of this step: the one that is there, else a new one."""
        lines = journal_lines(context.target, key=context.key)
        asked = sum(line["effect"] == REQUESTED for line in lines)
        last = lines[-1] if lines else {"effect": OVER}
        if last["effect"] == STARTED:
            return Run(last["run"], last["url"], "running", "")
        if provider.waits_in:
            number = asked + (last["effect"] != REQUESTED)
            if number > asked:
                journal(context, REQUESTED, provider=parameters.provider, url=parameters.url)
            return self._started(context, self._approved(context, held, parameters, provider, key_of(context, number)))
        if last["effect"] == REQUESTED:
            # An attempt before this one has asked for a run, and did not live to see it.
            return self._started(context, self._found(context, held, provider, key_of(context, asked)))
        key = key_of(context, asked + 1)
        inputs = {name: _filled(context, value, key) for name, value in parameters.inputs.items()}
        journal(context, REQUESTED, provider=parameters.provider, url=parameters.url)
        run: Run | None = None
        try:
            run = provider.start(_filled(context, parameters.ref, key), inputs, key)
        except Refused as refused:
            said = masked(str(refused), secrets_of(context))
            if not refused.by_gateway:
                journal(context, OVER)
                raise StepFailed(said) from refused
            context.output(f"{said}\n".encode())
        except NoAnswer as silent:
            if not silent.sent:
                journal(context, OVER)
                text = _("%(url)s gives no answer: %(why)s")
                raise StepFailed(text % {"url": provider.url, "why": silent}) from silent
        return self._started(context, run or self._found(context, held, provider, key))

    def _found(self, context: StepContext, held: Held, provider: Provider, key: str) -> Run:
        """Look for a run that was asked for. A stop is obeyed once it is found: it would go on by itself."""
        until, stopped = min(held.until, time.monotonic() + FIND_SECONDS), None
        while True:
            try:
                if (run := provider.find(key)) is not None:
                    if stopped is None:
                        return run
                    _cancelled(context, provider, self._started(context, run))
                    raise stopped
            except (Refused, NoAnswer) as fault:
                context.output(f"{masked(str(fault), secrets_of(context))}\n".encode())
            if time.monotonic() >= until:
                break
            try:
                context.heartbeat()
            except StopRequested as stop:
                stopped = stop
            time.sleep(min(2.0, FIND_SECONDS / 10))
        # A person looks. A retry of the step asks for another run.
        journal(context, OVER)
        text = _("A run was requested at %(url)s, and none with the key %(key)s is found. Look there before a retry.")
        raise NotProven(text % {"url": provider.url, "key": key})

    def _approved(
        self, context: StepContext, held: Held, parameters: PipelineParameters, provider: Provider, key: str
    ) -> Run:
        """Approve the run that waits, once there is one; a run that was approved with this key is it."""
        fault: Exception | None = None
        while True:
            try:
                if (run := provider.find(key) or provider.start("", {}, key)) is not None:
                    return run
                fault = None
            except (Refused, NoAnswer) as silent:
                fault = silent
                context.output(f"{masked(str(fault), secrets_of(context))}\n".encode())
            try:
                # A look takes several calls, of which a provider allows some thousand an hour.
                until = min(held.until, time.monotonic() + 3 * parameters.poll_seconds)
                while (left := until - time.monotonic()) > 0:
                    context.heartbeat()
                    time.sleep(min(1.0, left))
            except StopRequested:
                # After a stop nothing is approved. What may have been approved before it would go on by itself.
                if (run := _seen(provider, key)) is not None:
                    _cancelled(context, provider, self._started(context, run))
                journal(context, OVER)
                raise
            if time.monotonic() >= held.until:
                break
        if fault is not None and (run := _seen(provider, key)) is not None:
            return run
        journal(context, OVER)
        text = _("No run of %(commit)s waits at “%(where)s” at %(url)s.")
        values = {"commit": provider.commit[:12], "where": provider.waits_in, "url": provider.url}
        raise StepFailed(text % values)

    def _started(self, context: StepContext, run: Run) -> Run:
        journal(context, STARTED, run=run.id, url=run.url)
        context.output(f"{run.url or run.id}\n".encode())
        return run


def _cancelled(context: StepContext, provider: Provider, run: Run) -> None:
    """Have a run ended. Raises NotProven where the provider does not take the call: the run may go on."""
    try:
        provider.cancel(run)
    except (Refused, NoAnswer) as fault:
        words = {"url": run.url, "why": masked(str(fault), secrets_of(context))}
        raise NotProven(_("The run %(url)s could not be cancelled: %(why)s") % words) from fault
    context.output(f"cancel {run.url}\n".encode())
    journal(context, OVER)


def key_of(context: StepContext, number: int = 1) -> str:
    """Return the word by which a provider names a run of a step; number: of the run that was asked for, from 1."""
    key = f"ringi-{context.key.replace('/', '-')}"
    return key if number == 1 else f"{key}-{number}"


def _nothing_before() -> str:
    return _("There is no earlier version for the pipeline to deploy. A person must remove the present one.")


def _facts(line: dict[str, Any]) -> dict[str, Any]:
    return {name: line[name] for name in ("run", "url", "says", "seconds")}


def _filled(context: StepContext, text: str, key: str) -> str:
    version = context.wanted
    assert version is not None
    values = {
        "version": version.version,
        "tag": version.tag,
        "commit": version.commit,
        "digest": version.digest,
        "environment": context.target.environment,
        "key": key,
        "traceparent": context.traceparent,
    }
    return PLACE.sub(lambda found: values[found[1]], text)


def _provider(context: StepContext, parameters: PipelineParameters) -> Provider:
    networks = listed(context.target.settings, parameters.url)
    token = context.configuration.get(parameters.token, "")
    header = "PRIVATE-TOKEN" if parameters.provider == "gitlab" else "Authorization"
    headers = {header: token if parameters.provider == "gitlab" else f"Bearer {token}"} if token else {}
    headers |= context.traced("traceparent") if parameters.provider == "webhook" else {}

    def send(method: str, url: str, document: Any) -> Fetched:
        body = json.dumps(document).encode() if document is not None else None
        given = {**headers, "Accept": "application/json", "User-Agent": "Ringi"}
        return fetch(
            url,
            seconds=ANSWER_SECONDS,  # also after the step's own time, for a cancellation
            listed=networks,
            headers=given | ({"Content-Type": "application/json"} if body is not None else {}),
            trusted=str(context.target.settings.get("trusted_certificates", "")),
            method=method,
            body=body,
        )

    kind = GitHubWaiting if parameters.waits_in else PROVIDERS[parameters.provider]
    version = context.wanted
    assert version is not None
    where = _filled(context, parameters.waits_in, key_of(context))
    url = parameters.url.rstrip("/")
    bound = parameters.waits_in or "{tag}" in parameters.ref or "{commit}" in parameters.ref
    return kind(url, parameters.project, parameters.workflow, send, version.commit if bound else "", where)


def _seen(provider: Provider, key: str) -> Run | None:
    """Return the run that was approved with a key. Raises NotProven where the provider does not say."""
    try:
        return provider.find(key)
    except (Refused, NoAnswer) as silent:
        text = _("Whether a run was approved at %(url)s is not known. Look there for the key %(key)s.")
        raise NotProven(text % {"url": provider.url, "key": key}) from silent


def _followed(context: StepContext, held: Held, parameters: PipelineParameters, provider: Provider, run: Run) -> Run:
    """Look at a run until it has ended. Raises StepFailed where it runs another commit, NotProven where the provider no
    longer answers, Overdue.
    """
    said, misses = "", 0
    while True:
        try:
            run, misses = provider.status(run), 0
        except (Refused, NoAnswer) as fault:
            misses += 1
            if misses > MOST_MISSES:
                why = masked(str(fault), secrets_of(context))
                raise NotProven(_("The run %(url)s cannot be read: %(why)s") % {"url": run.url, "why": why}) from fault
        if run.says != said:
            said = run.says
            context.output(f"{said}\n".encode())
        if provider.commit and run.commit not in ("", provider.commit):
            _cancelled(context, provider, run)
            words = {"url": run.url, "other": run.commit[:12], "commit": provider.commit[:12]}
            raise StepFailed(_("The run %(url)s is of the commit %(other)s, and %(commit)s was approved.") % words)
        if run.state != "running":
            return run
        if time.monotonic() >= held.until:
            raise Overdue(_("the pipeline run did not end in time: %(url)s") % {"url": run.url})
        until = time.monotonic() + parameters.poll_seconds
        while (left := until - time.monotonic()) > 0:
            context.heartbeat()
            time.sleep(min(1.0, left))
