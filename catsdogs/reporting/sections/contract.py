"""Contract: the claims that `check` tested, with their verdicts and evidence."""

import json
from pathlib import Path
from typing import Any

from catsdogs.errors import UserError
from catsdogs.io.formatting import count
from catsdogs.reporting.document import Table
from catsdogs.runs.schema import DAMAGE

FORMAT = 1
ORDER = "fail", "pass", "not applicable"  # of the rows


def check_table(directory: Path) -> Table:
    """Return the claims of one check, failed ones first.

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
        findings = sorted(facts["findings"], key=lambda finding: ORDER.index(finding["verdict"]))
        return Table(
            _caption(str(facts["name"]), findings),
            ("verdict", "claim", "evidence"),
            tuple(
                (str(one["verdict"]), str(one["claim"]), str(one["evidence"])) for one in findings
            ),
        )
    except DAMAGE as error:
        raise UserError(
            f"checks={directory}: cannot read check.json ({type(error).__name__}: {error}); "
            "give the output directory of check"
        ) from error


def _caption(name: str, findings: list[dict[str, Any]]) -> str:
    failed = sum(finding["verdict"] == "fail" for finding in findings)
    held = sum(finding["verdict"] == "pass" for finding in findings)
    verdict = "is not a drop-in replacement" if failed else "is a drop-in replacement"
    return f"{name} {verdict}: {count(held, 'claim')} held, {failed} failed."
