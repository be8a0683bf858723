"""What `check` found of an optimizer: the claims of the drop-in contract, with their evidence."""

import json
from pathlib import Path
from typing import Any

from catsdogs.errors import UserError
from catsdogs.io.formatting import count
from catsdogs.reporting.document import Table
from catsdogs.runs.schema import DAMAGE

FORMAT = 1
ORDER = "fail", "pass", "not applicable"


def check_table(directory: Path) -> Table:
    """Return a row for each claim of one check, those that fail first.

    Args:
        directory: What `check` made; it holds `check.json`.

    Raises:
        UserError: If there is no such check, or it is damaged or of another format.
    """
    path = directory / "check.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise UserError(f"checks={directory}: not a check of format {FORMAT}; run check again")
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
            f"checks={directory}: holds no readable check.json ({type(error).__name__}: {error}); "
            "give a folder that check made"
        ) from error


def _caption(name: str, findings: list[dict[str, Any]]) -> str:
    failed = sum(finding["verdict"] == "fail" for finding in findings)
    held = sum(finding["verdict"] == "pass" for finding in findings)
    judged = "is no drop-in optimizer" if failed else "is a drop-in optimizer"
    return f"{name} {judged}: {count(held, 'claim')} held, {failed} failed."
