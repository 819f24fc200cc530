"""A step type: one HTTP request to an allowed host."""

import hashlib
import http.client
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from environments.connectivity.addresses import Network, listed_by, unwrapped
from environments.targets.base import NoResponse, Parameters, Probe, StepContext, StepFailed
from environments.targets.declared import AfterValidator, Field, StringConstraints, model_validator
from environments.targets.masking import masked
from environments.targets.runner import BEAT_SECONDS, secrets_of
from environments.targets.target import Held, TargetStep, journal, journal_lines
from environments.targets.words import gettext as _
from releases.sources.exchange import GATEWAY, Fetched, NoAnswer, fetch

LONGEST_TAIL = 2000
# Headers of the transport: they belong to the connection, not to a plan.
CARRIED = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"})
# Headers whose value is a secret: it comes from the configuration and is never written into a plan.
SECRET = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "x-auth-token"})
PLACE = re.compile(r"\{configuration:([A-Za-z_][A-Za-z0-9_]*)\}")
AUTHORITY = r"(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?"
URL = re.compile(rf"https?://{AUTHORITY}(?:/[!$-;=?-\[\]_a-z~]*)?")
HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))*")


def _url(value: str) -> str:
    if not URL.fullmatch(value):
        text = _("must be http(s)://host[:port]/path in small letters, without name, password or fragment")
        raise ValueError(text)
    parts = urlsplit(value)
    if not sound_host(parts.hostname or "") or (parts.port is not None and not 0 < parts.port < 65536):
        raise ValueError(_("must name a host by its name, or by its address as it is usually written"))
    return value


def sound_host(host: str) -> bool:
    """Tell whether a host is a plain name, or an address in its one usual form.

    Not accepted: 0x7f.1, 2130706433, a zone, and an IPv6 address that carries one of IPv4.
    """
    try:
        address = ip_address(host)
        return str(address) == host and unwrapped(address) == address
    except ValueError:
        last = host.rpartition(".")[2]
        return bool(HOST.fullmatch(host)) and not re.fullmatch(r"[0-9]+|0x[0-9a-f]*", last)


def _header_name(value: str) -> str:
    if value.lower() in CARRIED or value.lower().startswith("proxy-"):
        raise ValueError(_("is a header that the connection itself sends"))
    return value


Url = Annotated[str, AfterValidator(_url)]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$"), AfterValidator(_header_name)]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]*$")]


class HttpCallParameters(Parameters):
    """url: whole address; its host stands in the target's `http_hosts`.

    headers, body, document: may hold {configuration:KEY}, replaced by the value of the deployment's configuration
    (secrets included).

    body: text. document: JSON, instead of body. status: the answers that count as success (none: 200 to 299).
    idempotency_header: the name of the header by which the receiver recognises a repetition; its value is the step's
    key. seconds: longest time for the whole answer.
    """

    url: Url
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
    body: str = ""
    document: Any = None
    status: tuple[Annotated[int, Field(ge=100, le=599)], ...] = ()
    idempotency_header: HeaderName | None = None
    seconds: float = Field(default=30.0, gt=0, le=600)

    @model_validator(mode="after")
    def _whole(self) -> "HttpCallParameters":
        names = [name.lower() for name in self.headers]
        if self.body and self.document is not None:
            raise ValueError(_("body and document exclude each other"))
        if len(set(names)) < len(names) or (self.idempotency_header or "").lower() in names:
            raise ValueError(_("a header is given twice"))
        for name, value in self.headers.items():
            if name.lower() in SECRET and not PLACE.search(value):
                text = _("the value of %(name)s must come from the configuration: {configuration:KEY}")
                raise ValueError(text % {"name": name})
        return self


class HttpCall(TargetStep):
    """Sends one request to a host that the target lists; the name is resolved once, and no redirect is followed."""

    name: ClassVar[str] = "http_call"
    parameters: ClassVar[type[Parameters]] = HttpCallParameters
    repeatable: ClassVar[bool] = False
    estimate_seconds: ClassVar[float] = 5

    def repeats(self, parameters: HttpCallParameters) -> bool:
        """Tell whether the receiver recognises a repetition."""
        return parameters.idempotency_header is not None

    def make(self, context: StepContext, held: Held, parameters: HttpCallParameters) -> dict[str, Any]:
        """Send the request; facts: status, seconds, body (SHA-256 of the answer), tail. Raises StepFailed, NoResponse.

        A request answered under this key is not sent again.
        """
        if done := journal_lines(context.target, key=context.key, effect="http_call:done"):
            return _found(done[-1]) | {"found": True}
        networks = listed(context.target.settings, parameters.url)
        headers, body = _filled(context, parameters)
        context.output(f"{parameters.method} {parameters.url}\n".encode())
        answer = _sent(context, held, parameters, headers, body, networks)
        # Masked before it is cut: half a secret would not be found.
        tail = masked(answer.body.decode("utf-8", "replace"), secrets_of(context))[-LONGEST_TAIL:]
        context.output(f"{answer.status}, {answer.seconds:.3f} s\n{tail}\n".encode())
        if answer.status not in (parameters.status or range(200, 300)):
            text = _("%(url)s answered %(status)d") % {"url": parameters.url, "status": answer.status}
            gateway = answer.status in GATEWAY and parameters.method != "GET"
            raise (NoResponse if gateway else StepFailed)(text, state=tail)
        facts = {"status": answer.status, "body": hashlib.sha256(answer.body).hexdigest()}
        journal(context, "http_call:done", **facts)
        return facts | {"seconds": round(answer.seconds, 3), "tail": tail}

    def look(self, context: StepContext, held: Held, parameters: HttpCallParameters) -> tuple[Probe, dict[str, Any]]:
        """Done by the journal; sent but without an answer: unknown, or harmless to send again."""
        if done := journal_lines(context.target, key=context.key, effect="http_call:done"):
            return Probe.DONE, _found(done[-1])
        sent = journal_lines(context.target, key=context.key, effect="http_call:sent")
        return (Probe.UNKNOWN if sent and not self.repeats(parameters) else Probe.NOT_DONE), {}

    def describe(self, context: StepContext, parameters: HttpCallParameters) -> list[str]:
        """Return the lines of the dry run, without the values of the configuration. Raises StepFailed for a host not
        listed.
        """
        listed(context.target.settings, parameters.url)
        given = {**parameters.headers, **_keyed(context, parameters)}
        content = parameters.body if parameters.document is None else _json(parameters.document)
        lines = [f"{parameters.method} {parameters.url}", *(f"{name}: {value}" for name, value in given.items())]
        return [masked(line, secrets_of(context)) for line in [*lines, *filter(None, [content])]]


def faults_of_hosts(settings: Mapping[str, Any]) -> list[str]:
    """Return a sentence for everything in a target's `http_hosts` that can't work."""
    hosts = settings.get("http_hosts", [])
    if not isinstance(hosts, list | tuple) or not all(isinstance(entry, str) and _entry(entry) for entry in hosts):
        return [_("“http_hosts” must be a list of hosts such as api.example.org or 10.1.2.3:8443.")]
    return []


def _entry(text: str) -> tuple[str, int | None] | None:
    """Return (host, port) of an entry of `http_hosts` (port None: the usual ones); None for what is no host."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    plain = f"[{host}]" if ":" in host else host
    if text not in (plain, f"{plain}:{port}") or not sound_host(host) or port == 0:
        return None
    return host, port


def _found(line: Mapping[str, Any]) -> dict[str, Any]:
    return {name: line[name] for name in ("status", "body")}


def listed(settings: Mapping[str, Any], url: str) -> tuple[Network, ...]:
    """Return the private networks that may be asked, once the host of `url` is listed. Raises StepFailed.

    A host that is listed by its address lists that address; a name lists no private network.
    """
    parts = urlsplit(url)
    host, usual = parts.hostname or "", 443 if parts.scheme == "https" else 80
    port = parts.port if parts.port is not None else usual
    given = settings.get("http_hosts", ())
    entries = [found for text in given if isinstance(text, str) and (found := _entry(text))]
    if not any(host == name and port in ((usual,) if only is None else (only,)) for name, only in entries):
        raise StepFailed(
            _("%(host)s is not among the allowed outbound hosts of the target (“http_hosts”).")
            % {"host": f"{host}:{port}"}
        )
    own = settings.get("private_networks", ())
    texts = [*(own if isinstance(own, list | tuple) else ()), *(name for name, _port in entries)]
    return listed_by({"private_networks": texts})


def _filled(context: StepContext, parameters: HttpCallParameters) -> tuple[dict[str, str], bytes | None]:
    """Return headers and body with the configuration's values in their places. Raises StepFailed."""

    def value_of(found: re.Match[str]) -> str:
        if found[1] not in context.configuration:
            raise StepFailed(_("The configuration has no key “%(key)s”.") % {"key": found[1]})
        return context.configuration[found[1]]

    headers = {name: PLACE.sub(value_of, value) for name, value in parameters.headers.items()}
    for name, value in headers.items():
        if not re.fullmatch(r"[\x20-\x7e]*", value):
            raise StepFailed(
                _("The value of the header %(name)s has characters that a header cannot carry.") % {"name": name}
            )
    if "traceparent" not in {name.lower() for name in headers}:
        headers |= context.traced("traceparent")
    headers |= _keyed(context, parameters)
    if parameters.document is not None:
        headers.setdefault("Content-Type", "application/json")
        return headers, _json(_each(parameters.document, lambda text: PLACE.sub(value_of, text))).encode()
    return headers, PLACE.sub(value_of, parameters.body).encode() if parameters.body else None


def _keyed(context: StepContext, parameters: HttpCallParameters) -> dict[str, str]:
    return {parameters.idempotency_header: f"ringi/{context.key}"} if parameters.idempotency_header else {}


def _each(value: Any, put: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return put(value)
    if isinstance(value, dict):
        return {key: _each(entry, put) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_each(entry, put) for entry in value]
    return value


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _sent(
    context: StepContext,
    held: Held,
    parameters: HttpCallParameters,
    headers: Mapping[str, str],
    body: bytes | None,
    networks: Iterable[Network],
) -> Fetched:
    """Send the request in a thread of its own, so that a stop or a fence ends it. Raises StepFailed, NoResponse."""
    outcome: list[Fetched | NoAnswer] = []
    cuts: list[Callable[[], None]] = []
    leaving = threading.Event()

    def connected(cut: Callable[[], None]) -> None:
        cuts.append(cut)
        if leaving.is_set():
            raise http.client.NotConnected
        # The last moment at which it is certain that nothing has been sent.
        journal(context, "http_call:sent", url=parameters.url)

    def work() -> None:
        try:
            outcome.append(
                fetch(
                    parameters.url,
                    seconds=max(0.001, min(parameters.seconds, held.until - time.monotonic())),
                    listed=networks,
                    headers=headers,
                    trusted=str(context.target.settings.get("trusted_certificates", "")),
                    method=parameters.method,
                    body=body,
                    connected=connected,
                )
            )
        except NoAnswer as none:
            outcome.append(none)

    sending = threading.Thread(target=work, name="http_call", daemon=True)
    sending.start()
    try:
        while sending.is_alive():
            sending.join(BEAT_SECONDS)
            context.heartbeat()
    except BaseException:
        leaving.set()
        for cut in cuts:
            cut()
        sending.join(BEAT_SECONDS)
        raise
    answer = outcome[0] if outcome else NoAnswer(_("the request ended without an answer"))
    if isinstance(answer, Fetched):
        return answer
    host = urlsplit(parameters.url).hostname
    text = _("%(host)s gave no answer: %(why)s") % {"host": host, "why": answer}
    raise (NoResponse if answer.sent else StepFailed)(text) from answer
