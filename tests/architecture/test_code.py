"""Forbidden in the product's code: shells, pickles, writes past the operations, clocks without zone."""

from __future__ import annotations

import ast
import re

from django.apps import apps
from django.db.models import DateTimeField

from audit.clock import now
from audit.fields import WrittenAtField

from .files import APPS, imports, python, tree

PRODUCT = tuple(f"{app}/" for app in APPS)
LEAVES = (
    "environments/targets/",
    "releases/step_types/",
    "releases/check_types/",
    "releases/metric_sources/",
    "releases/sources/",
    "releases/procedures/",
    "releases/channel_types/",
    "releases/notifications/templates/",
)
# Writes that name no row of an operation, each inside an operation or of columns that are no audited facts.
WRITES = {
    "environments/sessions.py": {
        "update": "when a session was used last, without its contents; sessions are not audited"
    },
    "releases/operations/notification/create.py": {
        "update": "entries of the outbox that tell nobody are taken out; it is not audited"
    },
    "releases/operations/step/claim.py": {
        "update": "closes the lost attempt in the claim's own operation; the trigger sees it"
    },
    "releases/operations/release/import_past.py": {
        "update": "how far an import is, which is no audited fact; requests, confirmations and imports are operations"
    },
    "releases/operations/release/import_tags.py": {
        "bulk_create": (
            "changes of past releases in the import's own operation; they have no snapshots, the trigger sees each"
        )
    },
    "releases/operations/deployment/enqueue.py": {
        "bulk_create": (
            "lays the steps in the operation that enqueues the deployment; they have no snapshots, the "
            "trigger sees each"
        )
    },
}
RAW_WRITES = {
    "releases/operations/notification_delivery/lane.py": (
        "how a lane is going: not audited; the outcome of a delivery is an operation"
    ),
    "releases/worker/lease.py": "lease and output of a running step: not audited, and fenced by the fencing_token",
    "releases/operations/notification_delivery/send.py": (
        "claim and next try of a delivery: not audited; its outcome is an operation"
    ),
    "releases/liveness.py": "the scheduler's heartbeat: not audited",
    "releases/worker/measurement.py": "when the next measurement is due: not audited",
}
STATEMENT = re.compile(r"\b(INSERT\s+INTO|UPDATE|DELETE\s+FROM|TRUNCATE)\s+(releases|environments)_", re.IGNORECASE)


def chain(node: ast.AST) -> set[str]:
    """Return the names along `a.b.c(…).d`."""
    names = set()
    while isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
        if isinstance(node, ast.Attribute):
            names.add(node.attr)
            node = node.value
        else:
            node = node.func if isinstance(node, ast.Call) else node.value
    return names


def test_nothing_is_run_through_a_shell() -> None:
    for name in python():
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.Call):
                for keyword in node.keywords:
                    if keyword.arg == "shell":
                        assert isinstance(keyword.value, ast.Constant) and keyword.value.value is False, name
                if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
                    called = f"{node.func.value.id}.{node.func.attr}"
                    assert called not in ("os.system", "os.popen", "subprocess.getoutput"), f"{name}: {called}"


def test_nothing_is_pickled() -> None:
    forbidden = {"pickle", "marshal", "shelve", "dill", "cloudpickle"}
    for name in python(*PRODUCT):
        assert not forbidden & set(imports(name)), name


def test_nothing_is_written_past_the_operation() -> None:
    """Bulk writes are not seen by the snapshots; only the places listed above, each for its reason."""
    found: dict[str, set[str]] = {}
    for name in python(*PRODUCT):
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                verb, before = node.func.attr, chain(node.func.value)
                manages = before & {"objects", "_default_manager", "_base_manager", "filter", "exclude", "all"}
                if verb.startswith("bulk_") or (verb == "update" and manages):
                    found.setdefault(name, set()).add(verb)
    assert found == {name: set(verbs) for name, verbs in WRITES.items()}


def test_no_sql_writes_past_the_operation() -> None:
    found = set()
    for name in python(*PRODUCT):
        if "/migrations/" in name:
            continue
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and STATEMENT.search(node.value):
                found.add(name)
    assert found == set(RAW_WRITES)


def test_every_operation_opens_one_operation() -> None:
    """A public function in operations/ changes something through operation() only, or from inside an operation."""
    for name in python("releases/operations/", "environments/operations/"):
        for node in tree(name).body:
            if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
                continue
            saves = [
                call
                for call in ast.walk(node)
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "save"
            ]
            operations = [
                item
                for block in ast.walk(node)
                if isinstance(block, ast.With)
                for item in block.items
                if isinstance(item.context_expr, ast.Call)
                and isinstance(item.context_expr.func, ast.Name)
                and item.context_expr.func.id in ("operation", "_decision")
            ]
            inside = "inside" in (ast.get_docstring(node) or "") or any(
                argument.arg in ("op", "deployment", "release", "rollback", "procedure") for argument in node.args.args
            )
            assert not saves or operations or inside, f"{name}: {node.name} saves without an operation"


def test_no_clock_is_naive() -> None:
    for name in python(*PRODUCT):
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called = f"{ast.unparse(node.func.value)}.{node.func.attr}"
                assert called not in ("datetime.utcnow", "date.today", "datetime.today"), f"{name}: {called}"
                if called == "datetime.now":
                    assert node.args or node.keywords, f"{name}: a time without zone"


def test_rows_take_their_times_from_the_database() -> None:
    ours = [model for model in apps.get_models() if model._meta.app_label in ("audit", "environments", "releases")]
    fields = [field for model in ours for field in model._meta.concrete_fields if isinstance(field, DateTimeField)]
    written = [field for field in fields if field.auto_now or field.auto_now_add]
    assert len(written) > 20
    assert [str(field) for field in written if not isinstance(field, WrittenAtField)] == []
    defaults = [field for field in fields if field.has_default() and callable(field.default)]
    assert [str(field) for field in defaults if field.default is not now] == []


def test_the_leaves_know_no_model_and_no_database() -> None:
    for name in python(*LEAVES):
        for module in imports(name):
            assert not module.startswith("django.db"), f"{name} imports {module}"
            assert not re.match(r"(releases|environments|audit)\.(models|operations)\b", module), (
                f"{name} imports {module}"
            )
            assert not module.startswith(("releases.gates", "releases.worker", "releases.admin", "releases.api")), name


def test_the_demo_works_over_http_and_reads_the_target() -> None:
    for name in python("releases/demo/"):
        for module in imports(name):
            assert not module.startswith("django.db"), f"{name} imports {module}"
            assert not re.match(
                r"(releases\.(models|actions|worker|gates|admin|api)|environments\.(models|actions|access)|audit)\b",
                module,
            ), f"{name} imports {module}"


def test_imports_point_one_way() -> None:
    """import-linter says the same of whole packages; here also what is imported inside functions."""
    order = ["audit", "environments", "releases", "config"]
    for place, app in enumerate(order):
        for name in python(f"{app}/"):
            if name.startswith("releases/demo/"):
                continue
            above = {module.split(".")[0] for module in imports(name)} & set(order[place + 1 :])
            assert not above, f"{name} imports {above}"


def test_texts_for_people_have_named_places() -> None:
    """Nothing is formatted inside _(…): a translator sees the sentence, not a fragment."""
    for name in python(*PRODUCT):
        for node in ast.walk(tree(name)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("_", "gettext", "gettext_lazy")
            ):
                if node.args and not isinstance(node.args[0], ast.Constant | ast.Name):
                    raise AssertionError(f"{name}:{node.lineno}: {ast.unparse(node)[:80]}")
                text = getattr(node.args[0], "value", "") if node.args else ""
                assert not re.search(r"%[sdr]", str(text)), f"{name}:{node.lineno}: a place without a name"
