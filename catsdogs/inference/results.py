"""The folder of answers: a table, a contact sheet and a page, each written whole."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from catsdogs.inference import contact_sheet as sheet
from catsdogs.inference.gallery import choose, gallery
from catsdogs.inference.predictions import Prediction, to_csv
from catsdogs.inference.thumbnails import ranked, spread, thumbnails
from catsdogs.io.files import make_directory, whole_file, write_whole
from catsdogs.io.formatting import count


def write_results(predictions: Sequence[Prediction], classifier: str, directory: Path) -> None:
    """Write `predictions.csv`, `contact-sheet.png` and `gallery.html`; other files stay.

    Args:
        predictions: In the order of the table.
        classifier: What gave them, for a reader.
        directory: Made if it is not there.

    Raises:
        UserError: If the folder cannot be written to.
    """
    make_directory(directory, "output_dir")
    write_whole(directory / "predictions.csv", to_csv(predictions))
    ranking = ranked(predictions)
    shown = choose(ranking)
    on_sheet = spread(sorted(ranking, key=lambda one: -(one.logit or 0.0)), sheet.MOST)
    wanted = list(dict.fromkeys(one.path for one in (*shown.predictions, *on_sheet)))
    small = dict(zip(wanted, thumbnails(wanted), strict=True))
    heading = summary(predictions)
    if len(on_sheet) < len(ranking):
        heading += f"; here {len(on_sheet)}, at even steps from the surest cat to the surest dog"
    picture = sheet.contact_sheet([(one, small[one.path]) for one in on_sheet], heading)
    with whole_file(directory / "contact-sheet.png") as partial:
        picture.save(partial, "PNG", optimize=True)
    page = gallery(
        shown,
        [small[one.path] for one in shown.predictions],
        [one for one in predictions if one.logit is None],
        lead=f"{summary(predictions)}. Classifier: {classifier}.",
    )
    write_whole(directory / "gallery.html", page)


def summary(predictions: Sequence[Prediction]) -> str:
    """Say in a line how many files were which."""
    labels = Counter(one.label for one in predictions)
    line = f"{count(len(predictions), 'picture')}: {count(labels['cat'], 'cat')}, "
    line += count(labels["dog"], "dog")
    return line + (f", {labels['']} without an answer" if labels[""] else "")
