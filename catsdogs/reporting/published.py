"""What the monograph printed: V. Jeronymo, Unicamp 2019, figures 2 to 9 and their text."""

from dataclasses import dataclass

SOURCE = "V. Jeronymo, monograph, Unicamp 2019"
VAL_PICTURES = 200


@dataclass(frozen=True)
class Published:
    """The best of ten epochs of one run without a seed; the two may be of different epochs.

    Attributes:
        name: As the monograph calls the run.
        val_accuracy: Highest, 0 to 1, on 200 validation pictures.
        val_cost: Lowest.
    """

    name: str
    val_accuracy: float
    val_cost: float


_SGD_OWN = Published("SGD, own", 0.962, 0.10)
_ADAM_OWN = Published("Adam, own", 0.947, 0.21)
PUBLISHED = {
    "native_sgd": Published("SGD, built in", 0.980, 0.12),
    "custom_sgd": _SGD_OWN,
    "published_sgd": _SGD_OWN,
    "native_adam": Published("Adam, built in", 0.962, 0.13),
    "custom_adam": _ADAM_OWN,
    "published_adam": _ADAM_OWN,
}
