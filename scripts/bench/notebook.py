"""Training as in the monograph's notebooks: the baseline of `scripts.bench.training`.

Every epoch decodes every image, applies a random affine map and passes the image through the whole
network. Saving the best checkpoint is left out, since its time is negligible.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from catsdogs.data.images import MEAN, SIZE, STD
from catsdogs.data.manifest import Manifest, ManifestEntry
from catsdogs.features.backbone import Backbone, BackboneWeights
from catsdogs.optim.monograph import PublishedAdam, PublishedSGD
from catsdogs.training.heads import ConvHead

BATCH, VAL_BATCH = 32, 16
LEARNING_RATE = 1e-3
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "torch's SGD": torch.optim.SGD,
    "the published SGD": PublishedSGD,
    "torch's Adam": torch.optim.Adam,
    "the published Adam": PublishedAdam,
}
Batches = Iterable[tuple[Tensor, Tensor]]


class RandomlyMovedImages(Dataset[tuple[Tensor, float]]):
    """Images moved at random in every access, also those for validation, and their labels."""

    def __init__(self, root: Path, entries: list[ManifestEntry]) -> None:
        self._root, self._entries = root, entries
        self._transform = transforms.Compose(
            [
                transforms.RandomAffine(degrees=(-90, 90), translate=(0, 0.15), scale=(0.9, 1.1)),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> tuple[Tensor, float]:
        entry = self._entries[index]
        with Image.open(self._root / entry.path) as image:
            resized = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        return self._transform(resized), float(entry.label)


class NotebookRun:
    """One of the four runs: backbone, head, and the optimizer of the head."""

    def __init__(
        self,
        make_optimizer: Callable[..., Optimizer],
        weights: BackboneWeights,
        device: torch.device,
    ) -> None:
        # `layers` is torchvision's network, which changes modes, while `Backbone` does not.
        self.backbone = Backbone(weights.state).to(device).layers
        self.head = ConvHead().to(device)
        self._optimizer = make_optimizer(self.head.parameters(), lr=LEARNING_RATE)
        self._device = device

    def train_epoch(self, train: Batches, val: Batches) -> None:
        """Train on every batch of `train`, then evaluate on every batch of `val`."""
        self.backbone.train()  # BatchNorm uses batch statistics and updates its running ones
        for pixels, labels in train:
            cost = self._cost(pixels, labels)
            self._optimizer.zero_grad()
            cost.backward()
            self._optimizer.step()
            cost.item()  # the notebooks record it in every iteration
        self.backbone.eval()
        with torch.no_grad():
            for pixels, labels in val:
                self._cost(pixels, labels).item()

    def _cost(self, pixels: Tensor, labels: Tensor) -> Tensor:
        logits = self.head.layered(self.backbone(pixels.to(self._device)))
        return binary_cross_entropy_with_logits(logits, labels.to(self._device, torch.float32))


def loaders(
    manifest: Manifest, train_images: int, val_images: int, workers: int
) -> tuple[Batches, Batches]:
    """Return batches of training and validation images, evenly spaced over their splits."""
    train, val = (
        RandomlyMovedImages(manifest.root, _evenly_spaced(manifest, split, count))
        for split, count in (("train", train_images), ("val", val_images))
    )
    return (
        DataLoader(train, BATCH, shuffle=True, num_workers=workers),
        DataLoader(val, VAL_BATCH, num_workers=workers),
    )


def _evenly_spaced(manifest: Manifest, split: str, count: int) -> list[ManifestEntry]:
    entries = [entry for entry in manifest.used if entry.split == split]
    return [entries[index * len(entries) // count] for index in range(count)]
