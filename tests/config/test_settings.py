"""A setting that cannot be meant keeps every process from starting, with its name and what it must be."""

from __future__ import annotations

import runpy
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.development.processes import PROJECT
from releases.api.rate import parsed

REFUSED = {
    "RINGI_API_RATE_LIMIT": ("120/day", "120", "0/m", "many/m", "120/m/h"),
    "RINGI_FISCAL_YEAR_START_MONTH": ("0", "13"),
    "RINGI_TIME_ZONE": ("JST+9", "Europe/Nowhere", ""),
    "RINGI_RECONCILIATION_HOUR": ("24", "-1"),
    "RINGI_LEASE_DURATION": ("5", "0"),
    "RINGI_POLL_INTERVAL": ("0",),
    "RINGI_HEARTBEAT_TIMEOUT": ("-1",),
    "RINGI_PROXY_COUNT": ("-1",),
    "RINGI_LOG_FORMAT": ("yaml",),
    "RINGI_SAML_METADATA": ("no XML", "<EntityDescriptor/>"),
    "RINGI_OIDC_ISSUER": ("http://id.example", "id.example", "https://id.example"),
    "RINGI_LEDGER_TOKEN": ("ringi", "pkcs11:token=ringi", "pkcs11:token=a;pin-value=1?module-path=/lib/x.so"),
    "RINGI_TIME_STAMP_URL": ("ftp://tsa.example", "https://tsa.example"),
}


def settings() -> dict[str, Any]:
    return runpy.run_path(str(PROJECT / "config" / "settings.py"))


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values])
def test_what_cannot_be_meant_is_refused_at_the_start(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured, match=name):
        settings()


def test_the_office_has_its_own_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other code names one: what belongs to an environment has the environment's."""
    monkeypatch.setenv("RINGI_TIME_ZONE", "Europe/Berlin")
    assert settings()["OFFICE_TIME_ZONE"] == "Europe/Berlin"
    named = [
        path.relative_to(PROJECT).as_posix()
        for app in ("audit", "environments", "releases")
        for path in (PROJECT / app).rglob("*.py")
        if '"Asia/Tokyo"' in path.read_text(encoding="utf-8") and not {"migrations", "demo"} & {*path.parts}
    ]
    assert named == []


def test_a_rate_that_starts_can_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    for rate in ("120/m", "1/s", "9999/h"):
        monkeypatch.setenv("RINGI_API_RATE_LIMIT", rate)
        assert parsed(settings()["API_RATE_LIMIT"])[0] > 0
