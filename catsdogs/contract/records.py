"""Results of checks as text: facts for JSON, JUnit XML for continuous integration, tables."""

import dataclasses
import re
import textwrap
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch

from catsdogs.contract.batch import Outcome
from catsdogs.contract.claims import GROUPS
from catsdogs.contract.subject import CannotBeChecked, Subject
from catsdogs.contract.suite import CLAIMS, CheckResult, cell

NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
PLURALS = {"failure": "failures", "error": "errors", "skipped": "skipped"}


def facts(result: CheckResult) -> dict[str, Any]:
    """Return what a check found, ready for JSON with `default=str` for odd hyperparameters."""
    return {
        "name": result.name,
        "verdict": result.verdict,
        "needs": result.subject.needs,
        "subject": _subject_facts(result.subject),
        "findings": [dataclasses.asdict(finding) for finding in result.findings],
        "stopped": result.stopped,
    }


def _subject_facts(subject: Subject) -> dict[str, Any]:
    return {
        "settings": dict(subject.settings),
        "device": str(subject.device),
        "build_from": subject.build_from,
        "shapes": [list(shape) for shape in subject.shapes],
        "refused_shapes": [
            {"shape": list(shape), "said": refusal.said}
            for shape, refusal in subject.refused_shapes.items()
        ],
        "dtypes": [_name(dtype) for dtype in subject.dtypes],
        "refused_dtypes": [
            {"dtype": _name(dtype), "said": refusal.said}
            for dtype, refusal in subject.refused_dtypes.items()
        ],
        "compared_in": _name(subject.dtype),
        "tolerance": subject.tolerance,
        "waiting": subject.waiting,
        "random": subject.random,
        "coupled": subject.coupled,
    }


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


class Case(NamedTuple):
    """A test case of JUnit XML; a case without a kind has passed."""

    name: str
    kind: str = ""
    message: str = ""
    text: str = ""


def junit(results: Mapping[str, Outcome], package: str) -> str:
    """Return results as JUnit XML: a suite for each optimizer, a case for each claim.

    Args:
        results: Outcomes by the name of the optimizer.
        package: Prefix of the names of the suites, such as "my_package.optim".
    """
    root = ET.Element("testsuites")
    for name, result in results.items():
        suite = ET.SubElement(root, "testsuite", name=f"{package}.{name}")
        for case in _cases(result):
            element = ET.SubElement(
                suite, "testcase", classname=f"{package}.{name}", name=case.name
            )
            if case.kind:
                why = ET.SubElement(element, case.kind, message=_for_xml(case.message))
                why.text = _for_xml(case.text)
    for element in (root, *root):
        element.set("tests", str(len(list(element.iter("testcase")))))
        for kind, plural in PLURALS.items():
            element.set(plural, str(len(list(element.iter(kind)))))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, "unicode")}\n'


def _cases(result: Outcome) -> Iterator[Case]:
    if isinstance(result, CannotBeChecked):
        yield Case("can_be_checked", "skipped", f"cannot be checked: {result}")
        return
    for one in result.findings:
        match one.verdict:
            case "fail":
                yield Case(one.name, "failure", one.evidence, f"{one.group}: {one.claim}")
            case "expected":
                yield Case(one.name, "skipped", f"expected to fail; {one.evidence}", one.claim)
            case "not applicable":
                yield Case(one.name, "skipped", one.evidence, one.claim)
            case _:
                yield Case(one.name)
    if result.stopped:
        yield Case("comes_to_an_end", "error", result.stopped)


def _for_xml(text: str) -> str:
    return NOT_IN_XML.sub("\ufffd", text)


def worst_first(results: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """Return results sorted by their failures of update, then of state, and so on.

    Those that cannot be checked are last.
    """

    def badness(item: tuple[str, Outcome]) -> tuple[Any, ...]:
        name, result = item
        if isinstance(result, CannotBeChecked):
            return True, (), name
        return False, (not result.stopped, *(-count for count in _failures(result))), name

    return dict(sorted(results.items(), key=badness))


def overview(results: Mapping[str, Outcome], width: int = 100) -> str:
    """Return a table with a row for each optimizer: how many claims of each group fail.

    The name of the worst follows.

    Args:
        results: Outcomes by the name of the optimizer, in the order of the rows.
        width: Columns of the terminal.
    """
    first = max(map(len, [*results, "failing claims of"])) + 2
    rows = [f"{'failing claims of':<{first}}{''.join(f'{group:>9}' for group in GROUPS)}"]
    for name, result in results.items():
        if isinstance(result, CannotBeChecked):
            row = f"{name:<{first}}cannot be checked: {result}"
        else:
            counts = "".join(f"{count or '.':>9}" for count in _failures(result))
            row = f"{name:<{first}}{counts}  {result.stopped or _worst(result)}"
        indent = (first + 2) * " "
        rows.append(textwrap.fill(row, width, subsequent_indent=indent, break_long_words=False))
    return "\n".join(rows)


def _worst(result: CheckResult) -> str:
    if not result.failures:
        return ""
    more = len(result.failures) - 1
    return result.failures[0].name + (f" and {more} more" if more else "")


def summary(results: Mapping[str, Outcome], title: str) -> str:
    """Return a page in Markdown: the table of `overview` with links, and the names of the claims.

    Args:
        results: Outcomes by the name of the optimizer, in the order of the rows.
        title: The heading.
    """
    columns = ["optimizer", *GROUPS, "failing claims"]
    rows = [f"# {title}", "", "Failing claims of each group.", "", f"| {' | '.join(columns)} |"]
    rows.append("|" + len(columns) * "---|")
    for name, result in results.items():
        if isinstance(result, CannotBeChecked):
            cells = [name, *(len(GROUPS) * ["-"]), cell(f"cannot be checked: {result}")]
        else:
            names = ", ".join(f"`{finding.name}`" for finding in result.failures)
            counts = map(str, _failures(result))
            stopped = [cell(result.stopped)] if result.stopped else []
            cells = [f"[{name}]({name}/check.md)", *counts, "; ".join([names, *stopped])]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([*rows, ""])


def verdict(results: Mapping[str, Outcome], module: str) -> str:
    """Return one sentence about the optimizers of a module."""
    checked = [result for result in results.values() if isinstance(result, CheckResult)]
    right = sum(result.drop_in for result in checked)
    others = len(results) - len(checked)
    if not checked:
        return f"{module}: none of {others} optimizers can be checked"
    whole = all(result.stopped or len(result.findings) == len(CLAIMS) for result in checked)
    what = "are drop-in replacements" if whole else "pass the chosen claims of update and state"
    said = f"{module}: {right} of {len(checked)} optimizers {what}"
    return f"{said}, {others} cannot be checked" if others else said


def _failures(result: CheckResult) -> list[int]:
    """Return the number of failing claims of each group, the worst group first."""
    counts = Counter(finding.group for finding in result.failures)
    return [counts[group] for group in GROUPS]
