"""Write real output of `catsdogs.check` into the README, shortened to the claims named here.

python -m tests.support.write_readme
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
COMMAND = "python -m catsdogs.check optimizer=published_adam reference=native_adam"
# One claim that fails from each group.
SHOWN = (
    "honours_the_settings_of_each_group",
    "resumes_from_a_state_dict",
    "moves_weights_in_place",
    "refuses_a_negative_learning_rate",
)
BLOCK = re.compile(r"(?<=```text\n).*?(?=^```$)", re.M | re.S)


def excerpt(printed: str) -> str:
    """Return the lines of the groups, the failures in `SHOWN` and the verdict; `...` marks a cut.

    Args:
        printed: The command's output.
    """
    groups, *paragraphs = printed.split("\n\n")
    parts = [groups]
    for name in SHOWN:
        (failure,) = (text for text in paragraphs if text.startswith(f"FAIL {name} "))
        parts.append(failure)
    verdict = re.search(r"^published_adam is .*$", paragraphs[-1], re.M)
    assert verdict
    return "\n\n".join([*parts, "...", verdict[0]]) + "\n"


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
    new = excerpt(done.stdout)
    README.write_text(BLOCK.sub(lambda _: new, README.read_text(), count=1))


if __name__ == "__main__":
    main()
