"""Classify your own images with the checkpoint of any run.

python -m catsdogs.predict checkpoint=outputs/RUN/best.pt pictures=my_pictures
"""

from datetime import datetime
from pathlib import Path

from omegaconf import DictConfig

from catsdogs.cli import Result, command, plain
from catsdogs.inference.classifier import load
from catsdogs.inference.image_paths import list_images
from catsdogs.inference.predictions import summary
from catsdogs.inference.results import write_results
from catsdogs.io.files import probe_directory
from catsdogs.io.text import one_line, printable
from catsdogs.settings import Device, HomePath, HomePathOrNull, Section, TextOrNull, Texts


class PredictSettings(Section):
    """Settings of `predict`."""

    checkpoint: HomePath
    pictures: Texts
    weights: TextOrNull
    device: Device
    output_dir: HomePathOrNull
    debug: bool


@command("predict")
def main(config: DictConfig) -> Result:
    """Classify every image, write table, contact sheet and page, and print a summary."""
    settings = PredictSettings.from_config(plain(config))
    unnamed = f"outputs/predict-{datetime.now():%Y%m%d-%H%M%S}"
    output_dir = settings.output_dir or Path(unnamed)
    probe_directory(output_dir, "output_dir")
    files = list(dict.fromkeys(list_images(settings.pictures)))
    classifier = load(settings.checkpoint, weights=settings.weights, device=settings.device)
    print(one_line(f"classifier: {classifier}"))
    predictions = classifier.predict_files(files)
    write_results(predictions, str(classifier), output_dir)
    print(summary(predictions))
    for one in [one for one in predictions if one.logit is None][:1]:
        print(f"first image without a prediction: {printable(one.path)} ({one.status})")
    print(f"predictions.csv, contact-sheet.png, gallery.html: {output_dir}")
    return Result()


if __name__ == "__main__":
    main()
