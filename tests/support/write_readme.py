"""Write real output of `catsdogs.check` into the README, shortened to the claims named here.

python -m tests.support.write_readme
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
COMMAND = "python -m catsdogs.check optimizer=published_adam reference=native_adam"
# One claim that holds, and one that fails from each kind of claim.
SHOWN = (
    "takes_named_parameters",
    "refuses_a_negative_learning_rate",
    "honours_the_settings_of_each_group",
    "moves_weights_in_place",
    "resumes_from_a_state_dict",
    "equals_the_reference_in_float64",
)
BLOCK = re.compile(r"(?<=```text\n).*?(?=^```$)", re.M | re.S)


def excerpt(printed: str, names: list[str]) -> str:
    """Return the lines of the claims in `SHOWN` and the verdict; `...` stands for what is cut.

    Args:
        printed: The command's output.
        names: Of all claims, in the order in which they are printed.
    """
    claims, _, rest = printed.partition("\n\n")
    entries = re.split(r"\n(?! )", claims)
    assert len(entries) == len(names)
    shown = dict(zip(names, entries, strict=True))
    verdict = re.search(r"^published_adam .*$", rest.rpartition("\n\n")[2], re.M)
    assert verdict
    parts = [f"{shown[name].rstrip()}\n...\n" for name in SHOWN]
    return "".join([*parts, verdict[0], "\n"])


def main() -> None:
    """Run the command of the README and replace its only block of text."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, *shlex.split(COMMAND)[1:], f"output_dir={folder}"],
            env=os.environ | {"COLUMNS": "100"},
            capture_output=True,
            text=True,
            check=False,  # the optimizer fails, and that is the status
        )
        (record,) = Path(folder).glob("check-*/check.json")
        names = [finding["name"] for finding in json.loads(record.read_text())["findings"]]
    new = excerpt(done.stdout, names)
    README.write_text(BLOCK.sub(lambda _: new, README.read_text(), count=1))


if __name__ == "__main__":
    main()
