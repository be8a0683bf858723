"""Contract: the claims that `check` tested, with their verdicts and evidence."""

import json
from pathlib import Path
from typing import Any

from catsdogs.errors import UserError
from catsdogs.io.formatting import count
from catsdogs.reporting.document import Table
from catsdogs.runs.schema import DAMAGE

FORMAT = 1
ORDER = "fail", "expected", "pass", "not applicable"  # of the rows
GROUPS = "update", "state", "use", "manners"  # of claims, from the worst
GRAVE = GROUPS[:2]  # a failure of these says that an optimizer is not a drop-in replacement


def check_table(directory: Path) -> Table:
    """Return the claims of one check, failed ones first, those of the worst group before others.

    Checks of earlier versions have no groups; each of their failures is grave.

    Args:
        directory: Output directory of `check`, with `check.json`.

    Raises:
        UserError: If `check.json` is missing, damaged or of another format.
    """
    path = directory / "check.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise UserError(
                f"checks={directory}: check.json has an unsupported format; run check again"
            )
        findings = sorted(facts["findings"], key=_rank)
        grouped = any("group" in finding for finding in findings)
        columns = ("group",) * grouped + ("verdict", "claim", "evidence")
        return Table(
            _caption(str(facts["name"]), findings, str(facts.get("stopped", ""))),
            columns,
            tuple(tuple(str(one[column]) for column in columns) for one in findings),
        )
    except DAMAGE as error:
        raise UserError(
            f"checks={directory}: cannot read check.json ({type(error).__name__}: {error}); "
            "give the output directory of check"
        ) from error


def _rank(finding: dict[str, Any]) -> tuple[int, int]:
    return ORDER.index(finding["verdict"]), GROUPS.index(finding.get("group", GROUPS[0]))


def _caption(name: str, findings: list[dict[str, Any]], stopped: str) -> str:
    failed = [finding for finding in findings if finding["verdict"] == "fail"]
    held = sum(finding["verdict"] == "pass" for finding in findings)
    declared = sum(finding["verdict"] == "expected" for finding in findings)
    grave = stopped or any(finding.get("group", GRAVE[0]) in GRAVE for finding in failed)
    verdict = "is not a drop-in replacement" if grave else "is a drop-in replacement"
    tally = f"{count(held, 'claim')} held, {len(failed)} failed"
    tally += f", {declared} failed as declared" if declared else ""
    return f"{name} {verdict}: {tally}{f'; {stopped}' if stopped else ''}."
