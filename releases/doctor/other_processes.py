"""What works beside this process: Redis, the other processes, the ledger with its witnesses, time stamps and stream,
mail, and single sign-on.
"""

import smtplib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import django_rq
from django.conf import settings
from django.db import connection
from django.utils.translation import gettext as _
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from audit.clock import now
from audit.ledger.delivery import DELIVERY
from audit.ledger.stream import AnotherLedger, position_in, unsent_seconds
from audit.ledger.time_stamps import authority, last_stamp
from audit.models import CheckpointDelivery, Event
from audit.offline.ringi_verify import Inconclusive
from audit.standing import RECONCILED_WITHIN, VERIFIED_WITHIN, standing
from environments import access
from environments.queues import OWN_QUEUES
from environments.single_sign_on import configured, provider, saml
from releases.doctor.finding import Finding, failed, ok, warning
from releases.liveness import read_liveness
from releases.models import NotificationChannel

PATIENCE = 5.0
# Processes that need no mail server; one with a name of its own may need it.
MAILS_NOTHING = ("worker-", "scheduler", "live", "ledger_stream")
# Long enough to get another certificate from the people of the identity provider.
CERTIFICATE_LASTS = timedelta(days=30)
# One each day, and a day for an authority that is down.
STAMPED_WITHIN = timedelta(days=2)
# Several tries of a stream whose destination was away for a moment.
STREAMED_WITHIN = timedelta(minutes=5)


def queue() -> Iterator[Finding]:
    """Redis answers, keeps what it holds, and gives its account no more than it needs."""
    redis = django_rq.get_connection(OWN_QUEUES[0])
    try:
        redis.ping()
    except RedisError as fault:
        yield failed("Redis", str(fault), _("Start it, or mend REDIS_URL and the account that it names."))
        return
    try:
        policy = str(redis.config_get("maxmemory-policy").get("maxmemory-policy", ""))
    except (NoPermissionError, ResponseError):
        yield ok("Redis", _("Redis answers; the account cannot configure it."))
        return
    if policy != "noeviction":
        words = _("maxmemory-policy is %(policy)s: Redis would drop work.") % {"policy": policy}
        yield failed("Redis", words, _("Set maxmemory-policy to noeviction."))
    else:
        words = _("Redis answers; the account may also configure it.")
        yield warning("Redis", words, _("Give each process an account of deploy/redis-users.acl."))


def processes() -> Iterator[Finding]:
    """Scheduler, ledger signer and the workers of each queue are at work."""
    if not settings.HEARTBEAT_TIMEOUT:
        words = _("Not looked at: %(why)s") % {"why": "RINGI_HEARTBEAT_TIMEOUT=0"}
        yield warning(_("processes"), words, _("Remove this variable from the environment of the process."))
        return
    seen = read_liveness()
    names = {
        "scheduler": _("scheduler"),
        "ledger_signer": _("ledger signer"),
        "queue": "Redis",
        "workers": _("workers of the queue %(name)s"),
        "channel": _("notification channel %(name)s"),
    }
    silent = [(kind, name) for kind, name in seen.unresponsive() if kind in names]
    for kind, name in silent:
        advice = _("Start it. If it runs, look at its log.")
        words = names[kind] % {"name": name} if "%" in names[kind] else names[kind]
        yield failed(words, _("unresponsive"), advice)
    listening = sum(1 for count in seen.workers.values() if count)
    if not silent:
        yield ok(_("processes"), _("scheduler, ledger signer, workers of %(n)s queues") % {"n": listening})


def ledger() -> Iterator[Finding]:
    """The ledger was verified and reconciled lately, and verified without a fault."""
    name, stand = _("ledger"), standing()
    if stand.alarm is not None and stand.fault is None:
        at = f"{stand.alarm.started_at:%Y-%m-%d %H:%M} UTC"
        words = _("The verification of %(at)s did not pass: %(what)s") % {"at": at, "what": stand.alarm.words}
        yield failed(name, words, _("Read the verification on its page."))
    elif stand.fault is not None:
        words = _("The verification of %(at)s found a fault.") % {"at": f"{stand.fault.started_at:%Y-%m-%d %H:%M} UTC"}
        yield failed(name, words, _("Read the verification on its page; nothing new starts until it is explained."))
    elif stand.last is None or stand.late:
        text = _("No verification has ended within %(hours)s hours, or no reconciliation within %(days)s days.")
        words = text % {"hours": VERIFIED_WITHIN // timedelta(hours=1), "days": RECONCILED_WITHIN.days}
        yield warning(name, words, _("Let the scheduler run, also at night. Its log says how both ended."))
    else:
        yield ok(name, _("verified at %(at)s") % {"at": f"{stand.last.ended_at:%Y-%m-%d %H:%M} UTC"})


def witnesses() -> Iterator[Finding]:
    """Checkpoints go to a place that this installation cannot write, and are taken there."""
    name = _("witnesses")
    addresses = {f"{row._meta.label}:{row.pk}": row for row in CheckpointDelivery.objects.filter(removed_at=None)}
    events = Event.objects.filter(operation=DELIVERY, object__in=addresses).order_by("object", "-at", "-pk")
    failing = [event for event in events.distinct("object") if event.outcome == "failed"]
    for event in failing:
        values = {"at": f"{event.at:%Y-%m-%d %H:%M} UTC", "why": event.contents["after"]["said"]}
        words = _("No checkpoint was taken since %(at)s: %(why)s") % values
        advice = _("Ask the person who runs it. A refusal can mean that the ledger was rewritten.")
        yield failed(str(addresses[event.object]), words, advice)
    if addresses and not failing:
        yield ok(name, _("%(n)s addresses for checkpoints") % {"n": len(addresses)})
    elif not addresses:
        words = _("No checkpoint leaves this installation, so a rewritten ledger could pass for the true one.")
        yield warning(name, words, _("Add an address for checkpoints on the page of that list."))


def time_stamps() -> Iterator[Finding]:
    """Where a time-stamping authority is set, it stamps a checkpoint each day, and this process can verify that."""
    name = _("time stamps")
    if not settings.TIME_STAMP_URL:
        yield ok(name, _("no time-stamping authority is set"))
        return
    try:
        authority()
    except (OSError, Inconclusive) as fault:
        advice = _("Install openssl, and name a readable file of certificates in RINGI_TIME_STAMP_CA.")
        yield failed(name, str(fault), advice)
        return
    last = last_stamp(connection)
    if last.fault or (last.age or 0) > STAMPED_WITHIN.total_seconds():
        at = f"{last.at:%Y-%m-%d %H:%M} UTC" if last.at is not None else "—"
        words = _("last time stamp: %(at)s %(fault)s") % {"at": at, "fault": last.fault}
        yield failed(name, words.strip(), _("Look at the log of the ledger signer, and ask the authority."))
    elif last.at is None:
        yield warning(name, _("There is no time stamp yet."), _("Start the ledger signer with the same two variables."))
    else:
        yield ok(name, f"{last.at:%Y-%m-%d %H:%M} UTC · {settings.TIME_STAMP_URL}")


def mail() -> Iterator[Finding]:
    """The mail server answers, where notifications are mailed."""
    channels = NotificationChannel.objects.filter(channel_type="mail", disabled_at=None).count()
    if not settings.MAIL_HOST:
        if channels and not settings.PROCESS.replace("worker-notifications", "").startswith(MAILS_NOTHING):
            words = _("RINGI_MAIL_URL is not set, but %(n)s channels send mail.") % {"n": channels}
            yield failed("RINGI_MAIL_URL", words, _("Set it in the environment of the process that sends mail."))
        else:
            yield ok("RINGI_MAIL_URL", _("Nothing is mailed."))
        return
    options = settings.MAILERS["default"]["OPTIONS"]
    connect = smtplib.SMTP_SSL if options["use_ssl"] else smtplib.SMTP
    where = f"{options['host']}:{options['port']}"
    try:
        with connect(options["host"], options["port"], timeout=PATIENCE) as server:
            server.noop()
    except (OSError, smtplib.SMTPException) as fault:
        yield failed("RINGI_MAIL_URL", f"{where}: {fault}", _("Start the mail server, or mend the address."))
    else:
        yield ok("RINGI_MAIL_URL", where)


def single_sign_on() -> Iterator[Finding]:
    """The identity provider answers, and without it two administrators can sign in."""
    name = _("single sign-on")
    if not configured.offered():
        yield ok(name, _("no identity provider is set"))
        return
    yield _saml(name) if configured.by_saml() else _openid(name)
    administrators = access.holders_based_on("administrator")
    count = sum(1 for one in administrators if one.break_glass and one.has_usable_password())
    words = _("%(n)s administrators have a break-glass account with a password") % {"n": count}
    if count < 2:
        advice = _("Keep two, so that an outage of the provider does not lock everybody out.")
        yield warning(_("break-glass accounts"), words, advice)
    else:
        yield ok(_("break-glass accounts"), words)


def _openid(name: str) -> Finding:
    try:
        provider.ask()
    except provider.FAULTS as fault:
        return failed(name, f"{settings.OIDC_ISSUER}: {fault}", _("Start the identity provider, or mend its address."))
    return ok(name, settings.OIDC_ISSUER)


def _saml(name: str) -> Finding:
    """The packages can be loaded, and a certificate with which the provider may sign lasts."""
    try:
        saml.library()
    except RuntimeError as fault:
        return failed(name, str(fault), _("Install the packages of requirements.lock again."))
    known = configured.metadata()
    end = max(one.not_valid_after_utc for one in known.certificates)
    words = _("%(provider)s: its certificate ends on %(day)s") % {"provider": known.entity_id, "day": end.date()}
    advice = _("Get the present metadata of the identity provider, and start the web processes with it.")
    if end <= now():
        return failed(name, words, advice)
    return warning(name, words, advice) if end <= now() + CERTIFICATE_LASTS else ok(name, words)


def ledger_stream() -> Iterator[Finding]:
    """Where the variables of this process name a SIEM, it gets each event soon."""
    name = _("stream to the SIEM")
    if not settings.STREAM_URL:
        words = _("The variables of this process name no destination (%(name)s).") % {"name": "RINGI_STREAM_URL"}
        yield ok(name, words)
        return
    try:
        position = position_in(Path(settings.STATE_DIR) / "stream")
        waiting = unsent_seconds(position, connection)
    except AnotherLedger as fault:
        yield failed(name, str(fault), _("Say with --behind at which event it goes on, and start it."))
        return
    if waiting is not None and waiting > STREAMED_WITHIN.total_seconds():
        words = _("The event behind number %(number)s has waited for %(n)s minutes.")
        advice = _("Start the ledger stream. If it runs, look at its log, and at the SIEM.")
        yield failed(name, words % {"number": position.number, "n": int(waiting // 60)}, advice)
    else:
        yield ok(name, _("sent to number %(number)s") % {"number": position.number})


CHECKS = (queue, processes, ledger, witnesses, time_stamps, ledger_stream, mail, single_sign_on)
