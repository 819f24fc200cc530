"""What is wrong with a written document, and what commands say, goes through gettext."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .files import python, tree

# The files whose faults and answers people read.
READ = (
    "environments/targets/base.py",
    "releases/check_types/",
    "releases/definition/",
    "releases/management/authors.py",
    "releases/management/commands/definition.py",
    "releases/management/commands/doctor.py",
    "releases/management/commands/procedure.py",
    "releases/management/commands/saved_tests.py",
    "releases/metric_sources/",
    "releases/procedures/",
    "releases/queries/definition_files.py",
    "releases/queries/target_schema.py",
    "releases/step_types/",
)
# Calls whose argument at this place is a sentence.
SENTENCES = {"Fault": 1, "fault_at": 1, "ValueError": 0, "CommandError": 0, "write": 0}
# What a generator of faults yields: a place and a sentence.
FOUND = ("Found", "Iterator[tuple[Path, str]]")
# A function and its module.
Scope = tuple[ast.FunctionDef, ast.Module]


def name_of(call: ast.Call) -> str:
    """Return the last name of what is called."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def is_plain(node: ast.expr | None, scope: Scope, known: dict[str, Scope]) -> bool:
    """Tell whether an expression is or may be a text with words that no gettext has seen."""

    def inner(*parts: ast.expr | None) -> bool:
        return any(is_plain(part, scope, known) for part in parts)

    match node:
        case ast.Constant(value=str(text)):
            return re.search("[A-Za-z]", text) is not None
        case ast.JoinedStr(values=parts):
            return any(isinstance(part, ast.Constant) and inner(part) for part in parts)
        case ast.BinOp(left=left, op=ast.Mod()):
            return inner(left)
        case ast.BinOp(left=left, right=right):
            return inner(left, right)
        case ast.IfExp(body=body, orelse=orelse):
            return inner(body, orelse)
        case ast.BoolOp(values=parts) | ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Dict(values=parts):
            return inner(*parts)
        case ast.Subscript(value=value) | ast.Starred(value=value):
            return inner(value)
        case ast.Name(id=name):
            return inner(*assigned(name, scope))
        case ast.Call() if name_of(node) in ("_", "gettext"):
            return False
        case ast.Call(func=ast.Name(id="labelled" | "str" | "noted"), args=args):
            return inner(*args)
        case ast.Call(func=ast.Name(id=name)) if name in known:
            returned = [one.value for one in ast.walk(known[name][0]) if isinstance(one, ast.Return)]
            return any(is_plain(value, known[name], known) for value in returned)
        case ast.Call(func=ast.Attribute(attr="join"), args=[joined]):
            return inner(joined)
        case ast.Call(func=ast.Attribute(value=value)):
            return inner(value)
    return False


def assigned(name: str, scope: Scope) -> Iterator[ast.expr]:
    """Yield what is assigned to a name in a function or on top of its module; of a tuple its part."""
    for node in (*ast.walk(scope[0]), *scope[1].body):
        for target in node.targets if isinstance(node, ast.Assign) else ():
            if isinstance(target, ast.Name) and target.id == name:
                yield node.value
            elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                for part, value in zip(target.elts, node.value.elts, strict=False):
                    if isinstance(part, ast.Name) and part.id == name:
                        yield value


def sentences(module: ast.Module) -> Iterator[tuple[ast.expr, Scope]]:
    """Yield each sentence of a fault or of a command, with its scope."""
    functions = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef)]
    for function in functions:
        generates = function.returns is not None and ast.unparse(function.returns) in FOUND
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and len(node.args) > SENTENCES.get(name_of(node), 99):
                yield node.args[SENTENCES[name_of(node)]], (function, module)
            elif generates and isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple):
                yield node.value.elts[1], (function, module)


def plain(modules: dict[str, ast.Module]) -> list[str]:
    """Return the place and the text of each sentence without gettext."""
    known = {
        node.name: (node, module)
        for module in modules.values()
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef)
    }
    return [
        f"{name}:{sentence.lineno}: {ast.unparse(sentence)[:100]}"
        for name, module in modules.items()
        for sentence, scope in sentences(module)
        if is_plain(sentence, scope, known)
    ]


def test_no_fault_and_no_answer_of_a_command_is_a_plain_text() -> None:
    modules = {name: tree(name) for name in python(*READ)}
    found = [sentence for module in modules.values() for sentence, _scope in sentences(module)]
    assert len(found) > 180 and len(modules) > 60
    assert plain(modules) == []


def test_a_plain_text_is_found_in_each_form() -> None:
    forms = (
        'yield path, "is wrong"',
        'yield path, f"{name!r} is wrong"',
        'text = "is %s"\n    yield path, text % name',
        'yield path, _("is wrong") if name else "is right"',
        'yield path, "names " + name',
        "yield path, WORDS[name]",
        'yield path, helper("x")',
        'fault_at(path, {"a": "is wrong"}[name], lines)',
        'one, two = _("is bound"), "is free"\n    raise ValueError((one if name else two) % name)',
        'raise CommandError("\\n".join(["the procedure has faults", *found]))',
    )
    for form in forms:
        source = f'def found(path, name) -> Found:\n    {form}\ndef helper(x):\n    return f"{{x}} is wrong"\n'
        source += 'WORDS = {"missing": "is missing"}\n'
        assert plain({"a": ast.parse(source)}), form
    right = 'def found(path, name) -> Found:\n    text = _("is %(name)s")\n    yield path, text % {"name": name}\n'
    assert plain({"a": ast.parse(right)}) == []
