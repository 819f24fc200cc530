"""deployment_process:create: the next version of an application's deployment process, as a draft."""

import hashlib
from collections.abc import Collection

import rfc8785
from django.db.models import Max, Q

from audit.operation import operation
from environments import access
from environments.models import Application
from releases.models import DeploymentProcess, Release
from releases.operations.release.follow import follow
from releases.procedures.process import Process


def create(*, application_id: int, content: Process, reason: str, writers: Collection[int] = ()) -> DeploymentProcess:
    """Store the next version. Earlier drafts are discarded, and the open releases that follow one of them follow this
    version; so do draft releases where it is the first.

    writers: keys of the accounts that wrote the content, beside the author. Who wrote in a draft since the version in
    effect is one of them, for a person may go on from it.
    """
    drafts = DeploymentProcess.objects.filter(application=application_id, state="draft")
    first = not DeploymentProcess.objects.filter(application=application_id).exists()
    planned = Q(application=application_id, process=None, state="draft") if first else Q(pk=None)
    following = Release.objects.filter(Q(process__in=drafts, state__in=[*Release.FIXED, "draft"]) | planned)
    targets: list[tuple[type, int]] = [(DeploymentProcess, pk) for pk in drafts.values_list("pk", flat=True)]
    targets += [(Release, pk) for pk in following.values_list("pk", flat=True)]
    with operation("deployment_process:create", (Application, application_id), *targets, reason=reason) as op:
        author = access.require("create_process")
        op.require_reason()
        rows = DeploymentProcess.objects.filter(application=application_id)
        values = content.model_dump(mode="json")
        number = (rows.aggregate(last=Max("number"))["last"] or 0) + 1
        base = rows.filter(in_effect_at__isnull=False).aggregate(last=Max("number"))["last"] or 0
        drafts_since = rows.filter(number__gt=base).values_list("author", "writers")
        wrote = {*writers, *(pk for one, others in drafts_since for pk in (one, *others))}
        process = DeploymentProcess.objects.create(
            application=op.get(Application),
            number=number,
            writers=sorted(wrote - {author.pk}),
            content=values,
            digest=hashlib.sha256(rfc8785.dumps(values)).hexdigest(),
            reason=reason,
            author=author,
        )
        for model, pk in targets:
            if model is Release:
                follow(op, op.get(Release, pk), process)
            elif (earlier := op.get(DeploymentProcess, pk)).state == "draft":
                earlier.discard()
        op.about(process, digest=process.digest)
    return process
