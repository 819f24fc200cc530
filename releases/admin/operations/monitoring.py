"""Verbs on metric sources of a target, and on the hosts that its steps may call."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from django import forms
from django.utils.translation import get_language, gettext, gettext_lazy as _

from audit.refusals import InvalidInput
from environments.language import listed
from environments.models import DeploymentTarget
from releases.admin.operations.base import Verb
from releases.admin.operations.fields import JSONText, LinesField, text
from releases.admin.pages.monitoring.series import figure
from releases.metric_sources import SOURCES
from releases.metric_sources.collection import USUAL
from releases.metric_sources.counters import DERIVED
from releases.operations.release.plan import active_procedure
from releases.operations.target import test_monitoring
from releases.operations.target.set_settings import set_hosts, set_metric_sources

Fields = Mapping[str, forms.Field]
EXAMPLE = '[{"source": "prometheus_text", "parameters": {"url": "https://datasets.example/metrics"}}]'


def _sources(instance: Any) -> Fields:
    settings = instance.options if isinstance(instance, DeploymentTarget) else {}
    names = listed(known.name for known in SOURCES)
    return {
        "sources": JSONText(
            label=_("metric sources"),
            initial=[dict(row) for row in settings.get("metric_sources", USUAL)],
            widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false"}),
            help_text=_(
                "Enter a list of {“source”, “parameters”}. The first source shows whether the target answers. "
                "Known sources: %(names)s. For example: %(example)s"
            )
            % {"names": names, "example": EXAMPLE},
        ),
        "private_networks": LinesField(
            label=_("allowed private networks"),
            initial="\n".join(settings.get("private_networks", [])),
            required=False,
            help_text=_("Enter one network per line, such as 10.1.0.0/16. Public addresses need no entry."),
        ),
        "reason": text(_("reason")),
    }


def _hosts(instance: Any) -> Fields:
    settings = instance.options if isinstance(instance, DeploymentTarget) else {}
    return {
        "hosts": LinesField(
            label=_("allowed outbound hosts"),
            initial="\n".join(settings.get("http_hosts", [])),
            required=False,
            help_text=_("Enter one host per line, such as api.example.org or 10.1.2.3:8443. Steps call no other host."),
        ),
        "reason": text(_("reason")),
    }


def _seen(target: DeploymentTarget, values: dict[str, Any]) -> list[tuple[str, str]]:
    """Read the sources once, before they are stored."""
    try:
        looked = test_monitoring.try_sources(
            target.pk, sources=values["sources"], private_networks=values["private_networks"]
        )
    except InvalidInput as faults:
        return [(gettext("Not possible"), "\n".join(map(str, faults.reasons)))]
    metrics = {metric.key: metric for metric in active_procedure(target.application).document.metrics}
    words = {key: metric.label(get_language() or "ja") for key, metric in metrics.items()}
    units = {key: metric.unit for key, metric in metrics.items()}
    rows = []
    for name, value in sorted(looked.values.items()):
        said = (
            gettext("no data; rates need a second measurement") if name in DERIVED and looked.up else gettext("no data")
        )
        if name in looked.unreadable:
            said = gettext("unknown")
        elif value is not None:
            said = figure(value, units.get(name, ""))
        rows.append((words.get(name, name), said))
    rows += [(key, error) for key, error in looked.errors.items()]
    return [(gettext("test measurement just now"), gettext("answered") if looked.up else gettext("no answer")), *rows]


on_target = partial(Verb, "target", rights=("edit_target",), model=DeploymentTarget, signs=True, everywhere=True)
VERBS: tuple[Verb, ...] = (
    on_target(
        "set_monitoring",
        _("Set metric source"),
        set_metric_sources,
        fields=_sources,
        why_not_permitted=test_monitoring.why_not_permitted,
        preview=_seen,
        looks=True,
    ),
    on_target("set_outbound_hosts", _("Set allowed outbound hosts"), set_hosts, fields=_hosts),
)
