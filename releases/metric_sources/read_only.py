"""The statement of the check type and the metric source `sql`: one that reads."""

import re
from typing import Annotated

from environments.targets.declared import AfterValidator, StringConstraints
from environments.targets.words import gettext as _

READS = re.compile(r"\s*(select|with|values|table)\b", re.IGNORECASE)


def _reads(value: str) -> str:
    if not READS.match(value):
        raise ValueError(_("must begin with SELECT, WITH, VALUES or TABLE"))
    return value


ReadStatement = Annotated[str, StringConstraints(max_length=4000), AfterValidator(_reads)]
