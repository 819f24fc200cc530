"""holiday:add: a non-working day beside the national holidays."""

from datetime import date

from django.utils.translation import gettext as _

from audit.operation import operation
from audit.plain import is_blank, plain
from audit.refusals import InvalidInput
from environments import access
from environments.models import Holiday


def add(*, day: date, name_ja: str, name_en: str, reason: str = "") -> Holiday:
    """Add a day; every rule that moves or leaves out its windows on holidays follows it at once."""
    with operation("holiday:add", reason=reason, sign=True) as op:
        access.require("plan")
        if is_blank(name_ja) or is_blank(name_en):
            raise InvalidInput(_("A holiday needs its name in both languages."))
        if Holiday.objects.filter(day=day, removed_at=None).exists():
            raise InvalidInput(_("That day is already a holiday."))
        made = Holiday.objects.create(day=day, name_ja=plain(name_ja, _("name")), name_en=plain(name_en, _("name")))
        op.about(made, day=day.isoformat())
    return made
