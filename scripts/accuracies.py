"""Print mean and spread of test accuracy over seeds for every kind of run below a folder.

python scripts/accuracies.py outputs
"""

import argparse
import collections
import json
import statistics
from pathlib import Path


def main() -> None:
    """Read every record.json below the folder; runs that differ only in their seed are one row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    found: dict[tuple[str, str, str], list[float]] = collections.defaultdict(list)
    for path in sorted(parser.parse_args().folder.rglob("record.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        kind = record["data"]["source"], record["weights"]["source"], record["label"]
        found[kind].append(100 * record["test_accuracy"])
    print(
        f"{'data':8} {'weights':9} {'optimizer':15} {'mean':>6} {'sd':>5}  {'min':>5} {'max':>5}  n"
    )
    for (data, weights, label), values in sorted(found.items()):
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        print(
            f"{data:8} {weights:9} {label:15} {statistics.mean(values):6.2f} {spread:5.2f}  "
            f"{min(values):5.1f} {max(values):5.1f}  {len(values)}"
        )


if __name__ == "__main__":
    main()
