"""The folder of a report: written file by file, each whole; a stranger's files stay."""

from collections.abc import Iterator
from pathlib import Path

from catsdogs.io.files import make_directory, whole_file
from catsdogs.io.progress import progress
from catsdogs.reporting.document import Document, Figure, Gallery, Panels
from catsdogs.reporting.markdown import markdown, picture_file
from catsdogs.reporting.page import page
from catsdogs.reporting.plotting import png, svg

LIST = "files.txt"  # what a report wrote, so that the next one can take away what is stale


def write_report(document: Document, results: str, directory: Path) -> Path:
    """Write a report and return its page.

    The folder gets `index.html`, `report.md`, `results.csv`, `figures/`, `pictures/` and
    `files.txt`. Files of a former report that this one no longer has are removed; files that no
    report wrote are left alone.

    Args:
        document: What it says.
        results: Text of `results.csv`.
        directory: Made if it is not there.

    Raises:
        UserError: If the folder cannot be written to.
    """
    make_directory(directory, "out")
    names = []
    for name, content in _files(document, results):
        _write(directory / name, content)
        names.append(name)
    _remove_stale(directory, names)
    _write(directory / LIST, "\n".join(sorted(names)).encode() + b"\n")
    return directory / "index.html"


def _files(document: Document, results: str) -> Iterator[tuple[str, bytes]]:
    figures, drawings = _figures(document), {}
    for figure in progress(figures, total=len(figures), description="drawing", unit="figure"):
        drawings[figure.name] = svg(figure.drawing)
        yield f"figures/{figure.name}.svg", drawings[figure.name].encode()
        yield f"figures/{figure.name}.png", png(figure.drawing)
    for section in document.sections:
        for block in section.blocks:
            if isinstance(block, Gallery):
                for number, picture in enumerate(block.pictures, start=1):
                    yield picture_file(section, number, picture), picture.path.read_bytes()
    yield "results.csv", results.encode()
    yield "report.md", markdown(document).encode()
    yield "index.html", page(document, drawings).encode()


def _figures(document: Document) -> list[Figure]:
    found: list[Figure] = []
    for block in (block for section in document.sections for block in section.blocks):
        if isinstance(block, Figure):
            found.append(block)
        elif isinstance(block, Panels):
            found += block.figures
    return found


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    with whole_file(path) as partial:
        partial.write_bytes(content)


def _remove_stale(directory: Path, names: list[str]) -> None:
    listed = directory / LIST
    former = listed.read_text(encoding="utf-8").splitlines() if listed.exists() else []
    for name in set(former) - set(names):
        path = directory / name
        # The list is a file that anyone can edit: nothing above the folder is ours.
        if path.resolve().is_relative_to(directory.resolve()) and path.is_file():
            path.unlink()
