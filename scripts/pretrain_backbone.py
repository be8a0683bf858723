"""Pretrain a ResNet-18 on the drawn zoo and write the embedded weights into the package.

python scripts/pretrain_backbone.py --pictures 8000 --epochs 10 --further 5 --seed 0

After an interruption, the same command continues after the last finished epoch.
"""

import argparse
import logging
import sys
from pathlib import Path

import torch

import catsdogs
from catsdogs.compute.device import choose_device, set_determinism
from catsdogs.errors import UserError
from catsdogs.io.files import cache_directory
from catsdogs.pretraining.pretrain import Pretraining, pretrain, progressive_resolutions
from catsdogs.pretraining.weights_file import write_weights

EMBEDDED = Path(catsdogs.__file__).parent / "weights" / "embedded.safetensors"


def main() -> None:
    """Train with the options of the command line, and write the weights and their facts."""
    arguments = _parse()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    set_determinism(True)
    torch.set_num_threads(1)  # the parts of a batch are computed in parallel instead
    plan = Pretraining(
        pictures=arguments.pictures,
        held_out=arguments.held_out,
        resolutions=progressive_resolutions(arguments.epochs, arguments.further),
        further=arguments.further,
        seed=arguments.seed,
    )
    try:
        device = choose_device(arguments.device)
        pretrained = pretrain(plan, cache_directory() / "pretraining", device)
        write_weights(pretrained, arguments.out)
    except UserError as error:
        sys.exit(f"error: {error}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=8_000, help="creatures to train on (8000)")
    parser.add_argument("--held-out", type=int, default=500, help="creatures to evaluate on (500)")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of the first round (10)")
    parser.add_argument("--further", type=int, default=5, help="epochs of the second round (5)")
    parser.add_argument("--seed", type=int, default=0, help="of data and training (0)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (auto)")
    parser.add_argument(
        "--out", type=Path, default=EMBEDDED, help="a .safetensors file (the package's)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
