"""Results of checks as JUnit XML, JSON and tables."""

import dataclasses
import json
import xml.etree.ElementTree as ET

import pytest
import torch

from catsdogs.contract import CannotBeChecked, CheckResult, Finding, check
from catsdogs.contract.batch import Outcome
from catsdogs.contract.claims import Group, Verdict
from catsdogs.contract.records import facts, junit, overview, summary, verdict, worst_first
from catsdogs.contract.subject import Subject
from catsdogs.contract.suite import CLAIMS

Judged = tuple[Verdict, Group]
EVERY: list[Judged] = [
    ("pass", "update"),
    ("fail", "update"),
    ("expected", "state"),
    ("not applicable", "use"),
]
GOOD: Judged = ("pass", "update")
RUDE: Judged = ("fail", "manners")
FORGETFUL: Judged = ("fail", "state")


def result(name: str, *findings: Judged, stopped: str = "") -> CheckResult:
    """Return a result with these verdicts; the claims are called claim_0, claim_1, ..."""
    made = (
        Finding(f"claim_{n}", f"Claim {n}.", verdict, f"seen <{n}>\x1b|", group)
        for n, (verdict, group) in enumerate(findings)
    )
    return CheckResult(name, Subject(torch.optim.SGD), tuple(made), stopped)


RESULTS: dict[str, Outcome] = {
    "Own": result("Own", *EVERY),
    "Other": CannotBeChecked("no & never"),
}


def test_junit_has_a_case_for_each_optimizer_and_claim_with_the_evidence() -> None:
    text = junit(RESULTS, "my.optim")
    root = ET.fromstring(text)
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<testsuites ')
    assert root.tag == "testsuites"
    assert root.attrib == {"tests": "5", "failures": "1", "errors": "0", "skipped": "3"}
    own, other = root
    assert own.attrib == {
        "name": "my.optim.Own",
        "tests": "4",
        "failures": "1",
        "errors": "0",
        "skipped": "2",
    }
    cases = list(own)
    assert [case.attrib for case in cases] == [
        {"classname": "my.optim.Own", "name": f"claim_{n}"} for n in range(4)
    ]
    assert list(cases[0]) == []
    failure, expected, skipped = (case[0] for case in cases[1:])
    assert (failure.tag, failure.get("message")) == ("failure", "seen <1>\ufffd|")
    assert failure.text == "update: Claim 1."
    assert (expected.tag, expected.get("message")) == (
        "skipped",
        "expected to fail; seen <2>\ufffd|",
    )
    assert (skipped.tag, skipped.get("message")) == ("skipped", "seen <3>\ufffd|")
    ((case,),) = [other]
    assert case.get("name") == "can_be_checked"
    assert case[0].tag == "skipped"
    assert case[0].get("message") == "cannot be checked: no & never"


def test_a_check_that_was_stopped_is_an_error_in_junit() -> None:
    (suite,) = ET.fromstring(junit({"Own": result("Own", stopped="stopped in x")}, "my"))
    (case,) = suite
    assert suite.get("errors") == "1"
    assert (case[0].tag, case[0].get("message")) == ("error", "stopped in x")


def test_the_worst_group_decides_the_order_and_what_cannot_be_checked_is_last() -> None:
    results: dict[str, Outcome] = {
        "none": CannotBeChecked("why"),
        "right": result("right", ("pass", "update")),
        "mild": result("mild", *[RUDE] * 3),
        "two of state": result("two of state", *[FORGETFUL] * 2),
        "one of update": result("one of update", ("fail", "update")),
        "stopped": result("stopped", stopped="stopped in x"),
        "declared": result("declared", ("expected", "update")),
    }
    assert list(worst_first(results)) == [
        "stopped",
        "one of update",
        "two of state",
        "mild",
        "declared",
        "right",
        "none",
    ]


def test_the_table_of_a_module_counts_the_failures_of_each_group() -> None:
    rows = overview(RESULTS | {"Stopped": result("Stopped", stopped="stopped in x")}).split("\n")
    assert rows[0].split() == ["failing", "claims", "of", "update", "state", "use", "manners"]
    assert rows[1].split() == ["Own", "1", ".", ".", ".", "claim_1"]
    assert rows[2] == "Other              cannot be checked: no & never"
    assert rows[3].split() == ["Stopped", ".", ".", ".", ".", "stopped", "in", "x"]


def test_the_page_of_a_module_links_to_the_pages_of_its_optimizers() -> None:
    page = summary(RESULTS, "A title")
    assert page.startswith("# A title\n")
    assert "| [Own](Own/check.md) | 1 | 0 | 0 | 0 | `claim_1` |\n" in page
    assert "| Other | - | - | - | - | cannot be checked: no & never |\n" in page


@pytest.mark.parametrize(
    ("results", "said"),
    [
        (RESULTS, "m: 0 of 1 optimizers pass the chosen claims of update and state, 1 cannot be"),
        ({"x": CannotBeChecked("why")}, "m: none of 1 optimizers can be checked"),
        (
            {"x": result("x", *[GOOD] * len(CLAIMS))},
            "m: 1 of 1 optimizers are drop-in replacements",
        ),
    ],
)
def test_the_verdict_about_a_module_counts_what_was_checked(
    results: dict[str, Outcome], said: str
) -> None:
    assert verdict(results, "m").startswith(said)


def test_the_facts_of_a_result_are_json_with_groups_and_what_was_learned() -> None:
    found = check(torch.optim.Muon, only=["manners"])
    read = json.loads(json.dumps(facts(found), default=str))
    assert read["verdict"] == found.verdict
    assert read["findings"] == [dataclasses.asdict(finding) for finding in found]
    assert {finding["group"] for finding in read["findings"]} == {"manners"}
    learned = read["subject"]
    assert learned["shapes"] == [[4, 3], [2, 5]]
    assert [5] in [refused["shape"] for refused in learned["refused_shapes"]]
    assert learned["dtypes"][:2] == ["float64", "float32"]
    assert learned["settings"]["weight_decay"] == 0.1
    assert (learned["waiting"], learned["random"], learned["coupled"]) == (0, False, "")
    assert learned["tolerance"] == found.subject.tolerance
    assert read["needs"] == ""
