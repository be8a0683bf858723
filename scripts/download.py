"""Download a set of photographs into the cache and decode every one once, before any training.

python scripts/download.py kaggle
python scripts/download.py pets
"""

import argparse
import sys
from typing import get_args

from catsdogs.data.image_folder import LABELS
from catsdogs.data.manifest import SPLITS, make_manifest
from catsdogs.data.sources import Downloaded, fetch
from catsdogs.errors import UserError


def main() -> None:
    """Fetch the set named on the command line and say what is in it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", choices=get_args(Downloaded))
    parser.add_argument(
        "--keep-archive", action="store_true", help="keep what was downloaded beside the pictures"
    )
    options = parser.parse_args()
    try:
        root = fetch(options.source, keep_archive=options.keep_archive)
        manifest = make_manifest(root, dict.fromkeys(SPLITS, 0))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("error: interrupted; the same command goes on", file=sys.stderr)
        sys.exit(130)
    counts = ", ".join(
        f"{sum(picture.label == label for picture in manifest.images)} {name}s"
        for name, label in LABELS.items()
    )
    print(f"{root}: {counts}, {len(manifest.unreadable)} of them unreadable")
    print(f"to train on them: python -m catsdogs.train data={options.source}")


if __name__ == "__main__":
    main()
