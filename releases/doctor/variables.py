"""The variables of a process."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from environments.models import ExternalIdentity
from environments.single_sign_on import configured
from releases.doctor.finding import Finding, failed, ok, warning

LEAST_KEY = 50
OWN_HOSTS = ("", "127.0.0.1", "localhost", "::1")


def secret_key() -> Iterator[Finding]:
    """The key of the sessions is long and no example."""
    name = "SECRET_KEY"
    if len(settings.SECRET_KEY) < LEAST_KEY or settings.SECRET_KEY.startswith("django-insecure"):
        yield failed(
            name,
            _("The key is shorter than %(least)s characters, or an example.") % {"least": LEAST_KEY},
            _("Make one: python3 -c 'import secrets; print(secrets.token_urlsafe(50))'"),
        )
    else:
        yield ok(name, _("%(n)s characters") % {"n": len(settings.SECRET_KEY)})


def mode() -> Iterator[Finding]:
    """Neither debugging nor the trial is on."""
    for name, on in (("DEBUG", settings.DEBUG), ("RINGI_TRIAL", settings.TRIAL)):
        if on:
            yield failed(
                name, _("This variable is set."), _("Remove this variable from the environment of the process.")
            )
        else:
            yield ok(name, _("off"))


def address() -> Iterator[Finding]:
    """People reach the site by TLS, at a host that it answers to."""
    base, hosts = urlsplit(settings.BASE_URL), settings.ALLOWED_HOSTS
    if base.scheme != "https":
        words = _("%(address)s is not https.") % {"address": settings.BASE_URL}
        yield failed("RINGI_BASE_URL", words, _("Put a proxy with TLS before the web process."))
    else:
        yield ok("RINGI_BASE_URL", settings.BASE_URL)
    known = any(host == base.hostname or (host[:1] == "." and f".{base.hostname}".endswith(host)) for host in hosts)
    if "*" in hosts or not known:
        words = ", ".join(hosts) or _("none")
        advice = _("Name the host of RINGI_BASE_URL, and no others: %(host)s") % {"host": base.hostname}
        yield failed("ALLOWED_HOSTS", words, advice)
    else:
        yield ok("ALLOWED_HOSTS", ", ".join(hosts))


def proxies() -> Iterator[Finding]:
    """The addresses of people are those behind the proxy."""
    name, count = "RINGI_PROXY_COUNT", settings.PROXY_COUNT
    if settings.BASE_URL.startswith("https://") and not count:
        yield warning(
            name,
            _("0: all people behind a proxy have one address, and one of them can lock the others out."),
            _("Set the number of proxies before the web process."),
        )
    else:
        yield ok(name, str(count))


def encryption() -> Iterator[Finding]:
    """Connections that leave the machine are encrypted."""
    database = settings.DATABASES["default"]
    host, tls = str(database.get("HOST") or ""), str(database["OPTIONS"].get("sslmode", ""))
    name = "DATABASE_URL"
    if all(one in OWN_HOSTS or one.startswith("/") for one in host.split(",")):
        yield ok(name, _("on this server"))
    elif tls not in ("require", "verify-ca", "verify-full"):
        words = _("The connection to %(host)s may be unencrypted.") % {"host": host}
        yield failed(name, words, _("Add sslmode=verify-full to the address."))
    else:
        yield ok(name, f"{host} · sslmode={tls}")
    redis = urlsplit(settings.REDIS_URL.split(",")[0])
    if redis.scheme == "unix" or (redis.hostname or "") in OWN_HOSTS:
        yield ok("REDIS_URL", _("on this server"))
    elif redis.scheme not in ("rediss", "rediss+sentinel", "sentinels"):
        words = _("The connection to %(host)s is not encrypted.") % {"host": redis.hostname}
        yield failed("REDIS_URL", words, _("Use an address that begins with rediss://."))
    else:
        yield ok("REDIS_URL", f"{redis.hostname} · TLS")


def public_key() -> Iterator[Finding]:
    """The key that signatures of the ledger are verified with lies outside of the database."""
    name, path = "RINGI_LEDGER_PUBLIC_KEY", settings.LEDGER_PUBLIC_KEY
    if not path:
        yield warning(
            name,
            _("Not set: signatures are verified with a key that the database itself names."),
            _("Install the ledger signer's key.pub, and name the file."),
        )
    elif not os.access(path, os.R_OK):
        yield failed(name, _("%(path)s cannot be read.") % {"path": path}, _("Give the file the mode 0644."))
    elif os.stat(path).st_uid == os.geteuid() != 0 or Path(path).parent.stat().st_mode & 0o002:
        words = _("This process could replace %(path)s.") % {"path": path}
        yield failed(name, words, _("Give the file and its folder to root."))
    else:
        yield ok(name, path)


def second_factor() -> Iterator[Finding]:
    """This process counts the people whose two-factor authentication is that of the identity provider.

    A worker counts approvals again when it starts a deployment.
    """
    name = _("two-factor authentication of the identity provider")
    relying = ExternalIdentity.objects.filter(second_factor=True, account__is_active=True)
    here = relying.filter(issuer=configured.issuer()) if configured.second_factors() else relying.none()
    if missing := relying.count() - here.count():
        words = _("%(n)s people enrolled with it, and do not count for this process.") % {"n": missing}
        yield warning(name, words, _("Give all processes the variables of single sign-on that the web processes have."))
    else:
        yield ok(name, _("%(n)s people") % {"n": here.count()})


CHECKS = (secret_key, mode, address, proxies, encryption, public_key, second_factor)
