"""Test reports of .NET: xUnit.net v2 and NUnit 3. The numbers in their roots must agree with the listed tests."""

from dataclasses import replace
from xml.etree.ElementTree import Element

from django.utils.translation import gettext as _

from releases.evidence_readers.base import BadEvidence, Document, Form, Reading, count_of
from releases.evidence_readers.junit import Case, Result, reading_of

_XUNIT: dict[str | None, Result] = {"Pass": "passed", "Fail": "failures", "Skip": "skipped", "NotRun": "skipped"}
_NUNIT: dict[str | None, Result] = {
    "Passed": "passed",
    "Warning": "passed",
    "Failed": "failures",
    "Skipped": "skipped",
    "Inconclusive": "skipped",
}


def read_xunit(document: Document) -> Reading:
    """Count the tests of the assemblies; an error beside them (a fixture, a clean-up) is an error."""
    root = document.root
    assert root is not None
    assemblies = [root] if root.tag == "assembly" else list(root.iter("assembly"))
    cases = [_case(test, "type", "name", _XUNIT) for test in root.iter("test")]
    for assembly in assemblies:
        name = assembly.get("name") or ""
        errors = sum(1 for _error in assembly.iterfind("errors/error"))
        cases += [
            Case(name, f"error {n}", "errors", (name,)) for n in range(max(errors, count_of(assembly, "errors") or 0))
        ]
        _agrees(assembly, list(assembly.iter("test")), ("failed",))
    return reading_of(cases, (_file(one.get("name")) for one in assemblies))


def read_nunit(document: Document) -> Reading:
    """Count the test cases; a fixture that failed by itself is an error, and so is an assembly that was not loaded."""
    root = document.root
    assert root is not None
    listed = list(root.iter("test-case"))
    cases = [_case(test, "classname", "name", _NUNIT) for test in listed]
    ran = set[str]()
    for suite in root.iter("test-suite"):
        name = suite.get("fullname") or ""
        inner = any(one.get("result") == "Failed" for one in suite if one.tag in ("test-suite", "test-case"))
        if suite.get("result") == "Failed" and (suite.get("site") in ("SetUp", "TearDown") or not inner):
            cases.append(Case(name, "classMethod", "errors"))
        elif suite.get("result") in ("Passed", "Failed", "Warning"):
            ran.add(f"{name}::")
    _agrees(root, listed, ("failed",))
    reading = reading_of(
        cases, (_file(one.get("name")) for one in root.iter("test-suite") if one.get("type") == "Assembly")
    )
    return replace(reading, parts=reading.parts | ran)


def _case(test: Element, place: str, name: str, results: dict[str | None, Result]) -> Case:
    result = results.get(test.get("result"))
    if result is None:
        raise BadEvidence(_("“%(result)s” is not a test result.") % {"result": (test.get("result") or "")[:40]})
    if result == "failures" and test.get("label") == "Error":
        result = "errors"
    where = test.get(place) or ""
    return Case(where, test.get(name) or "", result, (where,))


def _agrees(element: Element, listed: list[Element], failed: tuple[str, ...]) -> None:
    """Refuse a report whose stated numbers differ from its list: truncated, or edited."""
    stated = count_of(element, "total")
    if stated is not None and stated != len(listed):
        text = _("The report states %(stated)d tests and lists %(listed)d.")
        raise BadEvidence(text % {"stated": stated, "listed": len(listed)})
    wrong = sum(1 for test in listed if test.get("result") in ("Fail", "Failed"))
    if sum(count_of(element, name) or 0 for name in failed) > wrong:
        raise BadEvidence(_("The report states failures that it does not list."))


def _file(path: str | None) -> str:
    return (path or "").replace("\\", "/").rpartition("/")[2]


XUNIT = Form(
    "junit",
    "xUnit.net v2 XML",
    '<assemblies><assembly total="…"><collection><test type="…" name="…" result="Pass"/>',
    lambda document: document.root is not None and document.root.tag in ("assemblies", "assembly"),
    read_xunit,
)
NUNIT = Form(
    "junit",
    "NUnit 3 XML",
    '<test-run total="…"><test-suite><test-case classname="…" name="…" result="Passed"/>',
    lambda document: document.root is not None and document.root.tag == "test-run",
    read_nunit,
)
