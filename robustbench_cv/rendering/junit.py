"""JUnit XML: each check and gate of a run, and each comparison of two, is a test case, so that any CI system shows them."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from robustbench_cv import gates
from robustbench_cv.check_findings import Finding
from robustbench_cv.compare import Comparison, Comparisons
from robustbench_cv.rendering import escape
from robustbench_cv.rendering.comparison import settling
from robustbench_cv.results import Results


def junit_xml(results: Results) -> str:
    """The document. stop and failed gates are failures; not applicable and inconclusive are skipped, with the reason."""
    root = Element("testsuites", name=escape.xml(f"robustbench-cv {results.run.suite}"))
    checks = SubElement(root, "testsuite", name="checks")
    for finding in results.findings:
        _check(checks, finding)
    bounds = SubElement(root, "testsuite", name="gates")
    for verdict in gates.judge(results):
        _gate(bounds, verdict)
    return _document(root)


def comparison_xml(comparisons: Comparisons) -> str:
    """The document of a comparison. Regressions are failures; what is inconclusive is skipped, with what would settle it."""
    root = Element("testsuites", name=escape.xml(f"robustbench-cv {comparisons.new.run.suite}"))
    suite = SubElement(root, "testsuite", name="comparison")
    for row in comparisons.rows:
        _comparison(suite, row, comparisons)
    return _document(root)


def _document(root: Element) -> str:
    """With the counts of each suite."""
    for suite in root:
        suite.set("tests", str(len(suite)))
        suite.set("failures", str(len(suite.findall("testcase/failure"))))
        suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
    indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _comparison(suite: Element, row: Comparison, comparisons: Comparisons) -> None:
    name = f"{row.metric} under {row.condition} of {row.new.model} on {row.new.dataset} loses at most {comparisons.margin:g}"
    case = SubElement(suite, "testcase", classname=f"comparison.{escape.xml(row.metric)}", name=escape.xml(name))
    change = row.result.change
    said = "no number" if change.value is None else f"{change.value:+.4f}"
    if change.low is not None and change.high is not None:
        said += f" [{change.low:+.4f}, {change.high:+.4f}]"
    said += f", n={change.n}, p={row.adjusted:.3g}"
    if row.outcome == "regression":
        broken = "\n".join(("samples that broke:", *row.broken)) if row.broken else ""
        SubElement(case, "failure", message=escape.xml(said)).text = escape.xml(broken)
    elif row.outcome == "inconclusive":
        why = row.blocked or (f"{row.failed} samples failed" if row.failed else f"to settle it: {settling(row, comparisons)}")
        SubElement(case, "skipped", message=escape.xml(f"inconclusive: {said}; {why}"))
    else:
        SubElement(case, "system-out").text = escape.xml(said)


def _check(suite: Element, finding: Finding) -> None:
    where = " / ".join(part for part in (finding.model, finding.dataset, finding.condition) if part)
    name = f"{finding.check} {finding.title}" + (f" [{where}]" if where else "")
    case = SubElement(suite, "testcase", classname=f"checks.{escape.xml(finding.check)}", name=escape.xml(name))
    text = f"{finding.verdict}: {finding.evidence}" + (f"\n{finding.remedy}" if finding.remedy else "")
    if finding.verdict == "stop":
        SubElement(case, "failure", message=escape.xml(finding.evidence)).text = escape.xml(text)
    elif finding.verdict == "not applicable":
        SubElement(case, "skipped", message=escape.xml(finding.evidence))
    else:
        SubElement(case, "system-out").text = escape.xml(text)


def _gate(suite: Element, verdict: gates.Verdict) -> None:
    gate, group = verdict.gate, verdict.group
    name = f"{gate.metric} under {gate.condition} of {group.model} on {group.dataset} is {gate.word.replace('_', ' ')} {gate.bound:g}"
    case = SubElement(suite, "testcase", classname=f"gates.{escape.xml(gate.metric)}", name=escape.xml(name))
    if verdict.outcome == "fail":
        SubElement(case, "failure", message=escape.xml(verdict.evidence))
    elif verdict.outcome in ("inconclusive", "not applicable"):
        SubElement(case, "skipped", message=escape.xml(f"{verdict.outcome}: {verdict.evidence}"))
    else:
        SubElement(case, "system-out").text = escape.xml(verdict.evidence)
