"""Check the optimizers of torch and of public libraries, and write what was found as a page.

    pip install --editable '.[audit]'
    python -m scripts.audit --save docs/audit.md
    python -m scripts.audit --library timm

Every failing claim of the groups update and state must be read before it is published: a finding
in `scripts/audit_findings.toml` names it, explains it and reproduces it in at most ten lines, which
this script runs. Failing claims that no finding names are listed as not read.
"""

import argparse
import importlib
import importlib.metadata
import inspect
import os
import subprocess
import sys
import tomllib
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

from catsdogs.contract import CheckResult
from catsdogs.contract.batch import Outcome, check_in_processes, optimizers_of
from catsdogs.contract.claims import GROUPS, Finding
from catsdogs.contract.suite import cell
from catsdogs.io.formatting import count
from catsdogs.io.progress import reported
from scripts.bench.page import circumstances, save_page, table

PROGRAM = "python -m scripts.audit"
FINDINGS = Path(__file__).with_name("audit_findings.toml")
GRAVE = ("update", "state")
SECONDS = 120  # for one class


@dataclass(frozen=True)
class Library:
    """A library whose optimizers are checked.

    Attributes:
        name: Of the distribution.
        module: Holds the classes.
        left_out: Classes that are not checked, with the reason.
        arguments: What a class is built with, if not its defaults.
        variants: Whether each option of a class is switched on once.
    """

    name: str
    module: str
    left_out: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    variants: bool = False


WRAPPER = "it wraps another optimizer"
SECOND_ORDER = "it is not a first-order method"
LIBRARIES = (
    Library(
        "torch",
        "torch.optim",
        {"LBFGS": SECOND_ORDER, "SparseAdam": "it takes sparse gradients alone"},
        {"SGD": {"lr": 0.01}},
        variants=True,
    ),
    Library(
        "pytorch_optimizer",
        "pytorch_optimizer",
        dict.fromkeys(
            [
                "SAM",
                "GSAM",
                "WSAM",
                "LookSAM",
                "FriendlySAM",
                "BSAM",
                "Lookahead",
                "OrthoGrad",
                "PCGrad",
                "TRAC",
                "ScheduleFreeWrapper",
                "SafeFP16Optimizer",
            ],
            WRAPPER,
        )
        | dict.fromkeys(["LOMO", "AdaLOMO", "AdamMini"], "it takes a model and steps in backward")
        | dict.fromkeys(["DistributedMuon"], "it needs a process group")
        | {"DeMo": "it needs einops and a process group"},
        {"Ranger21": {"num_iterations": 100}},
    ),
    Library("timm", "timm.optim", {"Lookahead": WRAPPER}, {"SGDP": {"lr": 0.01}}),
    Library("schedulefree", "schedulefree", {"ScheduleFreeWrapper": WRAPPER}),
    Library("lion-pytorch", "lion_pytorch"),
    Library("prodigyopt", "prodigyopt"),
    Library("dadaptation", "dadaptation"),
    Library("adabelief-pytorch", "adabelief_pytorch"),
)
# Options of torch's classes; some need another one beside them.
OPTIONS: dict[str, dict[str, Any]] = {
    "foreach": {"foreach": True},
    "fused": {"fused": True},
    "maximize": {"maximize": True},
    "amsgrad": {"amsgrad": True},
    "momentum": {"momentum": 0.9},
    "nesterov": {"nesterov": True, "momentum": 0.9},
    "centered": {"centered": True},
    "weight_decay": {"weight_decay": 0.1},
    "decoupled_weight_decay": {"decoupled_weight_decay": True, "weight_decay": 0.1},
}


@dataclass(frozen=True)
class Candidate:
    """An optimizer of a library.

    Attributes:
        library: Name of the distribution.
        cls: The class.
        arguments: What it is built with.
    """

    library: str
    cls: type[Optimizer]
    arguments: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The class, with its arguments if it has some."""
        given = ", ".join(f"{name}={value}" for name, value in self.arguments.items())
        return f"{self.cls.__name__}({given})" if given else self.cls.__name__


@dataclass(frozen=True)
class Read:
    """A finding that was read: failing claims with one cause.

    Attributes:
        library: Name of the distribution.
        classes: Names of classes, or `*` for all.
        claims: Names of the failing claims.
        title: One line.
        text: Explanation, as in a report to the maintainers.
        code: Reproduction, at most ten lines; empty for a remark.
        false: Whether the claim is wrong, not the optimizer.
    """

    library: str
    classes: tuple[str, ...]
    claims: tuple[str, ...]
    title: str
    text: str
    code: str = ""
    false: bool = False

    def names(self, candidate: Candidate, finding: Finding) -> bool:
        """Return whether a failing claim of an optimizer belongs to this finding."""
        here = candidate.library == self.library and finding.name in self.claims
        return here and ("*" in self.classes or candidate.cls.__name__ in self.classes)


def candidates(library: Library) -> Iterator[Candidate]:
    """Yield the optimizers of a library, those of torch with each option switched on once."""
    for name, cls in optimizers_of(importlib.import_module(library.module)).items():
        if name in library.left_out:
            continue
        given = dict(library.arguments.get(name, {}))
        yield Candidate(library.name, cls, given)
        if library.variants:
            yield from _variants(library, cls, given)


def _variants(library: Library, cls: type[Optimizer], given: dict[str, Any]) -> Iterator[Candidate]:
    taken = inspect.signature(cls).parameters
    for option, values in OPTIONS.items():
        if option in taken:
            possible = {name: value for name, value in values.items() if name in taken}
            yield Candidate(library.name, cls, given | possible)


def check_all(chosen: Sequence[Candidate], jobs: int) -> list[Outcome]:
    """Check every optimizer in a process of its own."""
    factories = {
        f"{number} {candidate.name}": partial(candidate.cls, **candidate.arguments)
        for number, candidate in enumerate(chosen)
    }
    with reported("checking", unit="claim") as show:
        found = check_in_processes(factories, jobs=jobs, seconds=SECONDS, quiet=True, progress=show)
    return list(found.values())


def read_findings() -> list[Read]:
    """Return what was read, from the file beside this script."""
    entries = tomllib.loads(FINDINGS.read_text())["finding"]
    return [
        Read(
            **entry
            | {name: tuple(entry[name]) for name in ("classes", "claims")}
            | {"text": " ".join(entry["text"].split()), "code": entry.get("code", "").strip()}
        )
        for entry in entries
    ]


def reproduce(read: Read) -> str:
    """Run a reproduction in a process of its own and return what it prints, errors too."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", read.code],
        capture_output=True,
        text=True,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
        timeout=SECONDS,
    )
    last_line = done.stderr.strip().splitlines()[-1:] if done.returncode else []
    return "\n".join([*done.stdout.strip().splitlines(), *last_line])


def summary(
    library: str, pairs: Sequence[tuple[Candidate, Outcome]], reads: Sequence[Read]
) -> list[str]:
    """Return the row of a library in the first table."""
    results = [(one, result) for one, result in pairs if one.library == library]
    checked = [(one, result) for one, result in results if isinstance(result, CheckResult)]
    failing = [(one, finding) for one, result in checked for finding in result.failures]
    false = sum(
        any(read.false and read.names(one, finding) for read in reads) for one, finding in failing
    )
    by_group = Counter(finding.group for _, finding in failing)
    return [
        f"{library} {importlib.metadata.version(library)}",
        str(len(checked)),
        str(len(results) - len(checked)),
        str(sum(result.drop_in for _, result in checked)),
        *(str(by_group[group]) for group in GROUPS),
        str(false),
    ]


def paragraphs(read: Read, pairs: Sequence[tuple[Candidate, Outcome]]) -> list[str]:
    """Return the page's part on one finding, with its reproduction and what that prints."""
    seen = [
        (candidate.cls.__name__, finding.name)
        for candidate, result in pairs
        if isinstance(result, CheckResult)
        for finding in result.failures
        if read.names(candidate, finding)
    ]
    where, failed = (sorted({pair[place] for pair in seen}) for place in (0, 1))
    parts = [f"### {read.library}: {read.title}", read.text]
    classes = ", ".join(where) if len(where) <= 12 else f"{len(where)} classes"
    claims = ", ".join(f"`{name}`" for name in failed)
    parts.append(f"Seen in {classes} by {claims}." if seen else "Not seen in this run.")
    if read.code:
        parts += [f"```py\n{read.code}\n```", f"```text\n{reproduce(read)}\n```"]
    return parts


def page(pairs: Sequence[tuple[Candidate, Outcome]], reads: Sequence[Read]) -> list[str]:
    """Return the page's paragraphs."""
    libraries = list(dict.fromkeys(candidate.library for candidate, _ in pairs))
    header = ["library", "checked", "not checkable", "drop-in", *GROUPS, "false alarms"]
    parts = [
        "# Audit of public optimizers",
        INTRODUCTION,
        circumstances(PROGRAM, "cpu", 1),
        "## Counts",
        COUNTS,
        table(header, [summary(library, pairs, reads) for library in libraries]),
        "## Findings",
    ]
    for read in reads:
        if read.library in libraries and not read.false:
            parts += paragraphs(read, pairs)
    wrong = [read for read in reads if read.false and read.library in libraries]
    if wrong:
        parts.append("## False alarms")
        for read in wrong:
            parts += paragraphs(read, pairs)
    unread = [
        [candidate.library, candidate.name, finding.name, cell(finding.evidence)]
        for candidate, result in pairs
        if isinstance(result, CheckResult)
        for finding in result.failures
        if finding.group in GRAVE and not any(read.names(candidate, finding) for read in reads)
    ]
    if unread:
        parts += ["## Not read", table(["library", "optimizer", "claim", "evidence"], unread)]
    parts.append("## Every optimizer")
    rows = []
    for candidate, result in pairs:
        if not isinstance(result, CheckResult):
            rows.append([candidate.library, candidate.name, f"cannot be checked: {result}", ""])
            continue
        failed = ", ".join(finding.name for finding in result.failures)
        rows.append([candidate.library, candidate.name, "yes" if result.drop_in else "no", failed])
    parts.append(table(["library", "optimizer", "drop-in", "failing claims"], rows))
    return parts


INTRODUCTION = """\
Every optimizer class of torch and of some libraries, as `python -m catsdogs.check` sees it, each
with its default hyperparameters; those of torch also with each of their options. A finding below is
a group of failing claims with one cause. Each was read in the library's source before it was
written down, and its code was run when this page was made. Remarks of the groups use and manners
are counted, and named in the last table. They were read by kind; most say that a group counts steps
for all of its parameters, that a negative weight decay is accepted, or that complex parameters step
in another way than torch's."""
COUNTS = """\
Columns `update` to `manners` count failing claims; `drop-in` counts optimizers without a failing
claim of update or state. A false alarm is a failing claim whose optimizer is right."""


def main() -> None:
    """Run the audit with the options of the command line."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description=(__doc__ or "").partition("\n")[0])
    names = [library.name for library in LIBRARIES]
    parser.add_argument("--library", choices=names, action="append", help="one of them (all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the page as Markdown")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    chosen = [
        candidate
        for library in LIBRARIES
        if library.name in (options.library or names)
        for candidate in candidates(library)
    ]
    pairs = list(zip(chosen, check_all(chosen, options.jobs), strict=True))
    parts = page(pairs, read_findings())
    print("\n\n".join(parts))
    print(f"\n{count(len(chosen), 'optimizer')} checked")
    if options.save is not None:
        save_page(options.save, parts)


if __name__ == "__main__":
    main()
