"""Download a data set of photographs into the cache, and check that every image can be decoded.

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
    """Download the data set named on the command line and print its contents."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", choices=get_args(Downloaded), help="data set")
    parser.add_argument(
        "--keep-archive", action="store_true", help="keep the downloaded archives beside the images"
    )
    options = parser.parse_args()
    try:
        root = fetch(options.source, keep_archive=options.keep_archive)
        manifest = make_manifest(root, dict.fromkeys(SPLITS, 0))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("error: interrupted; run the same command to continue", file=sys.stderr)
        sys.exit(130)
    counts = ", ".join(
        f"{sum(image.label == label for image in manifest.images)} {name}s"
        for name, label in LABELS.items()
    )
    print(f"{root}: {counts}, {len(manifest.unreadable)} of them unreadable")
    print(f"train on them with: python -m catsdogs.train data={options.source}")


if __name__ == "__main__":
    main()
