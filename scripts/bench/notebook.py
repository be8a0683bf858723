"""The monograph's way of training, as its notebooks wrote it: the baseline of bench_training.py.

Every epoch decodes every picture, moves it by a random affine map and sends it through the whole
network. The choice of a best checkpoint is left out: it takes no time to speak of.
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


class MovedPictures(Dataset[tuple[Tensor, float]]):
    """Pictures that come out moved in another way every time, those for validation too."""

    def __init__(self, root: Path, pictures: list[ManifestEntry]) -> None:
        self._root, self._pictures = root, pictures
        self._transform = transforms.Compose(
            [
                transforms.RandomAffine(degrees=(-90, 90), translate=(0, 0.15), scale=(0.9, 1.1)),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, float]:
        picture = self._pictures[index]
        with Image.open(self._root / picture.path) as image:
            resized = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        return self._transform(resized), float(picture.label)


class NotebookRun:
    """One of the four runs: a backbone and a head of its own, and what trains the head."""

    def __init__(
        self,
        make_optimizer: Callable[..., Optimizer],
        weights: BackboneWeights,
        device: torch.device,
    ) -> None:
        # Its `layers` are torchvision's own, and change modes as it does not.
        self.backbone = Backbone(weights.state).to(device).layers
        self.head = ConvHead().to(device)
        self._optimizer = make_optimizer(self.head.parameters(), lr=LEARNING_RATE)
        self._device = device

    def train_epoch(self, train: Batches, val: Batches) -> None:
        """Train on every batch of `train`, then evaluate on every batch of `val`."""
        self.backbone.train()  # BatchNorm goes by the batch, and its statistics drift
        for pixels, labels in train:
            cost = self._cost(pixels, labels)
            self._optimizer.zero_grad()
            cost.backward()
            self._optimizer.step()
            cost.item()  # recorded for every iteration
        self.backbone.eval()
        with torch.no_grad():
            for pixels, labels in val:
                self._cost(pixels, labels).item()

    def _cost(self, pixels: Tensor, labels: Tensor) -> Tensor:
        logits = self.head.layered(self.backbone(pixels.to(self._device)))
        return binary_cross_entropy_with_logits(logits, labels.to(self._device, torch.float32))


def loaders(
    manifest: Manifest, train_pictures: int, val_pictures: int, workers: int
) -> tuple[Batches, Batches]:
    """Return batches of so many training and validation pictures, evenly spread over the split."""
    train, val = (
        MovedPictures(manifest.root, _spread(manifest, split, count))
        for split, count in (("train", train_pictures), ("val", val_pictures))
    )
    return (
        DataLoader(train, BATCH, shuffle=True, num_workers=workers),
        DataLoader(val, VAL_BATCH, num_workers=workers),
    )


def _spread(manifest: Manifest, split: str, count: int) -> list[ManifestEntry]:
    pictures = [picture for picture in manifest.used if picture.split == split]
    return [pictures[index * len(pictures) // count] for index in range(count)]
