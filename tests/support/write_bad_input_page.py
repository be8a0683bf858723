"""Write the tables of docs/bad-input.md from the cases that the tests try.

python -m tests.support.write_bad_input_page
"""

import re

from tests.bad_input import test_catalogue, test_pictures
from tests.support import catalogue

FIRST = "| a picture that is |"


def main() -> None:
    """Keep what stands above the tables, but for the number of cases."""
    parts = test_catalogue.PARTS
    count = len(test_pictures.IMAGES) + sum(map(len, parts.values()))
    above = catalogue.PAGE.read_text().partition(FIRST)[0]
    above = re.sub(r"\d+ cases", f"{count} cases", above)
    catalogue.PAGE.write_text(above + catalogue.page(test_pictures.IMAGES, parts))


if __name__ == "__main__":
    main()
