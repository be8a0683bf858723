"""Hydra functions as console commands: plain configuration, one-line errors, exit statuses."""

import contextlib
import difflib
import errno
import functools
import io
import logging
import os
import re
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from catsdogs.errors import UserError
from catsdogs.io.failure import described, place
from catsdogs.io.progress import LinesBesideBars, close_bars
from catsdogs.io.streams import open_standard_streams
from catsdogs.io.text import OneLineFormatter, is_one_line, one_line
from catsdogs.io.voice import is_first_process, says_error

BUG, INVALID_INPUT, SIGNAL = 1, 2, 128  # exit statuses; signal N gives SIGNAL + N

# Errors of the operating system, with the remedy: about a file, and about the machine.
FILE_ERRORS = {
    errno.ENOSPC: "no space left on its disk; free some space, or choose another folder",
    errno.EDQUOT: "your disk quota is used up; free some space, or choose another folder",
    errno.EROFS: "its file system is read-only; choose another folder",
    errno.EACCES: "permission denied; change its permissions, or choose another",
    errno.EPERM: "permission denied; change its permissions, or choose another",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.ELOOP: "its symbolic links form a loop; choose another path",
    errno.EIO: "its disk reports an error; choose another folder",
    errno.EFBIG: "larger than its file system or your limit (ulimit -f) allows; choose another",
    errno.EBUSY: "in use by the system; try again, or choose another folder",
    errno.EXDEV: "on another disk than its folder; choose another folder",
    errno.EMLINK: "its folder holds as many as its file system allows; choose another folder",
    errno.ESTALE: "its network file system has lost it; try again",
    errno.ENOLCK: "its file system has no file locks; choose another folder",
    errno.ENOSYS: "its file system cannot do this; choose another folder",
    errno.EINVAL: "its file system cannot do this; choose another folder",
    errno.ENOENT: "not found; if it was removed meanwhile, try again",
    errno.EISDIR: "is a folder, and a file belongs there; rename it",
    errno.ENOTDIR: "a file is where a folder belongs; rename it",
    errno.EEXIST: "is there already, and something else belongs there; rename it",
    errno.ENOTEMPTY: "a folder that is not empty; rename it",
}
MACHINE_ERRORS = {
    errno.EMFILE: "too many open files; raise the limit (ulimit -n)",
    errno.ENFILE: "too many open files on this machine; close some programs",
    errno.EAGAIN: "cannot start another process; use fewer data.workers",
    errno.ENOMEM: "out of memory; use a smaller batch_size or fewer data.workers",
}
OUT_OF_MEMORY = "out of memory; use a smaller batch_size or val_batch_size, or another device"
WORKER_KILLED = "data.workers: a worker process was killed; use data.workers=0"


@dataclass(frozen=True)
class Result:
    """Result of a job.

    Attributes:
        status: Exit status.
        words: What became of the job, in the table of a sweep.
        objective: The number that a sweeper optimizes; None if the job has none.
    """

    status: int = 0
    words: str = "done"
    objective: float | None = None


Job = Callable[[DictConfig], Result]


@dataclass(frozen=True)
class SweepJob:
    """A job of a sweep that has ended.

    Attributes:
        overrides: The settings that were typed or that the sweeper chose.
        result: Its result; an error's line counts as words.
    """

    overrides: tuple[str, ...]
    result: Result


class _JobFailed(Exception):
    """A job of a sweep has ended by an error, which has been printed."""


class _Stop(SystemExit):
    """The end of a job by an error that has been printed."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status)
        self.message = message


def command(
    config_name: str, free_sections: tuple[str, ...] = ()
) -> Callable[[Job], Callable[[], None]]:
    """Turn a function of a configuration into a console command.

    A `UserError` or an invalid configuration ends with one line on stderr and status 2, any other
    error with one line and status 1; `debug=true` adds the traceback to both. Every job of a sweep
    (`-m`) runs, whatever became of those before it; a table at the end has their results, and the
    exit status is the highest one. Only a signal ends a sweep.

    Args:
        config_name: The command's file in `conf/`, without suffix.
        free_sections: Sections of the configuration that take any key, as `optimizer=class` does;
            Hydra alone would ask for a `+` before a new one.
    """

    def decorate(job: Job) -> Callable[[], None]:
        @functools.wraps(job)
        def main() -> None:
            open_standard_streams()
            handler = LinesBesideBars()
            handler.setFormatter(OneLineFormatter("%(levelname)s: %(message)s"))
            logging.basicConfig(handlers=[handler])
            # Or Hydra prints its own errors, in several lines, and exits with 1.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            with _one_line_errors():
                _check_arguments()
                _import_from_working_directory()
                overrides, flags = _split(sys.argv[1:])
                _check_choices(overrides, flags)
                overrides = _with_new_keys(overrides, free_sections)
                sys.argv[1:] = [*overrides, *flags]  # Hydra takes overrides on one side of a flag
                run = hydra.main(
                    version_base="1.3", config_path=str(conf_directory()), config_name=config_name
                )
                sweep: list[SweepJob] = []
                try:
                    run(functools.partial(_run_job, job, sweep))()
                # Of a configuration file: _run_job lets no exception of the job through.
                except UnicodeDecodeError as error:
                    raise UserError(f"a configuration file is not UTF-8: {error}") from error
                except _JobFailed as error:
                    if not sweep:  # the jobs ran in other processes
                        raise UserError(str(error)) from error
                finally:
                    if sweep:
                        print(_sweep_table(sweep))
                if sweep:
                    sys.exit(max(each.result.status for each in sweep))

        return main

    return decorate


def conf_directory() -> Path:
    """Return `conf/`: inside the package when installed, beside it in a source tree."""
    package = Path(__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def command_line(name: str) -> str:
    """Return what to type to repeat the running job, for a job of a sweep without the others.

    Args:
        name: The last part of `python -m catsdogs.NAME`.
    """
    overrides, flags = _split(sys.argv[1:])
    if _in_sweep():
        overrides = list(HydraConfig.get().overrides.task)
        flags = [flag for flag in flags if flag not in ("-m", "--multirun")]
    return shlex.join(["python", "-m", f"catsdogs.{name}", *overrides, *flags])


def optimizer_label(config: DictConfig) -> str:
    """Return the name of the optimizer's file in conf/optimizer, or of the class given instead."""
    if any("optimizer._target_=" in override for override in HydraConfig.get().overrides.task):
        return str(config.optimizer._target_).rpartition(".")[2]
    return str(HydraConfig.get().runtime.choices["optimizer"])


def plain(config: DictConfig) -> dict[str, Any]:
    """Return a configuration as plain dicts, lists and values.

    Raises:
        UserError: For a mandatory value that is missing or an interpolation that fails.
    """
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise UserError(f"{missing[0]}: has no default; give {missing[0]}=VALUE")
    try:
        values = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(_joined(error)) from error
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def build_from(node: DictConfig, name: str) -> Any:
    """Instantiate the `_target_` of a section of the configuration.

    Args:
        node: The section.
        name: The setting that an error names.

    Raises:
        UserError: If the target cannot be imported or called.
    """
    try:
        return instantiate(node)
    except InstantiationException as error:
        reason = _joined(error.__cause__ or error)
        first: BaseException = error
        while first.__cause__:
            first = first.__cause__
        if place(first):  # in the user's own file
            reason = described(first)
        target = node.get("_target_")
        raise UserError(f"{name}={target}: cannot be used ({reason})") from error


def machine_error(error: BaseException) -> str | None:
    """Return what the machine lacks, and the remedy, in one line; None for any other error.

    Where torch's file writer hides the system's error behind its own, the system's one counts.
    """
    # torch's class is compared by name: the report runs without torch.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return OUT_OF_MEMORY
    if isinstance(error, RuntimeError):
        if "can't allocate memory" in str(error):
            return OUT_OF_MEMORY
        if "DataLoader worker" in str(error) and "killed by signal" in str(error):
            return WORKER_KILLED
    if isinstance(error, OSError) and error.errno in FILE_ERRORS:
        return f"{_file_of(error)}: {FILE_ERRORS[error.errno]}"
    if isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
        return MACHINE_ERRORS[error.errno]
    if isinstance(error, OSError) and error.errno is not None:
        return f"{_file_of(error)}: {error.strerror}; try again, or choose another"
    if isinstance(error, io.UnsupportedOperation):  # Python's, in place of the system's
        return f"a file: {str(error).rstrip('.')}; choose another folder"
    hidden = error.__cause__ or error.__context__
    return machine_error(hidden) if isinstance(error, RuntimeError) and hidden else None


def _file_of(error: OSError) -> str:
    """Return the file of an error: of a rename, the one that should have been made."""
    return str(error.filename2 or error.filename or "a file")


def _check_arguments() -> None:
    for argument in sys.argv[1:]:
        if not is_one_line(argument):
            raise UserError(f"{one_line(argument)}: must be one line of UTF-8")


def _import_from_working_directory() -> None:
    """Make the working directory importable, as `python -m` does; a console script does not."""
    try:
        here = str(Path.cwd())
    except OSError as error:
        raise UserError("the working directory no longer exists; change to another") from error
    if here not in sys.path and not sys.flags.safe_path:
        sys.path.insert(0, here)


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return the overrides and the flags of a command line, in their order."""
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise UserError(f"{message}; see --help")

    parser.error = refuse  # type: ignore[method-assign]
    overrides = parser.parse_intermixed_args(arguments).overrides
    flags = list(arguments)
    for override in overrides:
        flags.remove(override)
    return overrides, flags


def _check_choices(overrides: list[str], flags: list[str]) -> None:
    """Refuse what Hydra answers with an exception of its own code."""
    groups = {path.name for path in conf_directory().iterdir() if path.is_dir()}
    for override in overrides:
        key, _, value = override.partition("=")
        if key.lstrip("+~") in groups and (key[0] == "~" or value in ("null", "~") or "[" in value):
            raise UserError(f"{override}: must name one option; --help lists them")
    if {"-sc", "--shell-completion"} & set(flags) and "COMP_LINE" not in os.environ:
        for override in overrides:
            if override.startswith("query="):
                raise UserError(f"{override}: only a shell asks this, and it sets COMP_LINE")


def _with_new_keys(overrides: list[str], free_sections: tuple[str, ...]) -> list[str]:
    """Return the overrides with the prefix that lets them add a key to a free section."""
    chosen = any(override.lstrip("+") == "optimizer=class" for override in overrides)
    free = tuple(f"{name}." for name in (*free_sections, *["optimizer"] * chosen))
    return [f"++{override}" if override.startswith(free) else override for override in overrides]


def _in_sweep() -> bool:
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def _run_job(job: Job, sweep: list[SweepJob], config: DictConfig) -> float | None:
    """Run a job, and exit the process unless it belongs to a sweep: Hydra would add lines."""
    if not _in_sweep():
        with _one_line_errors():
            status = job(config).status
        if status:
            sys.exit(status)
        return None
    overrides = tuple(HydraConfig.get().overrides.task)
    print(f"\njob {len(sweep)}: {' '.join(map(one_line, overrides))}")
    try:
        with _one_line_errors():
            result = job(config)
    except _Stop as stop:
        assert isinstance(stop.code, int)
        result = Result(stop.code, stop.message)
        sweep.append(SweepJob(overrides, result))
        if result.status > SIGNAL:
            raise
        if not _hydra_runs_the_sweep():
            raise _JobFailed(result.words) from stop
    else:
        sweep.append(SweepJob(overrides, result))
    return result.objective


def _hydra_runs_the_sweep() -> bool:
    """Return whether Hydra's own sweeper and launcher do, which would stop at an exception."""
    parts = HydraConfig.get().sweeper, HydraConfig.get().launcher
    return all(str(part._target_).startswith("hydra._internal.") for part in parts)


def _sweep_table(sweep: list[SweepJob]) -> str:
    """Return a table of jobs, with the settings in which they differ."""
    shared = set.intersection(*(set(each.overrides) for each in sweep)) if sweep[1:] else set()
    settings = [
        one_line(" ".join(word for word in each.overrides if word not in shared)) for each in sweep
    ]
    width = max(map(len, ["settings", *settings]))
    rows = [("job", "status", "settings".ljust(width), "result")]
    rows += [
        (str(number), str(each.result.status), named.ljust(width), each.result.words)
        for number, (each, named) in enumerate(zip(sweep, settings, strict=True))
    ]
    lines = (f"{a:>5}  {b:>6}  {c}  {d}" for a, b, c, d in rows)
    return "\nsweep:\n" + "\n".join(lines)


@contextlib.contextmanager
def _one_line_errors() -> Iterator[None]:
    """Turn every exception into one line on stderr and an exit status."""
    try:
        yield
    except UserError as error:
        _stop(str(error), INVALID_INPUT)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        _stop(_configuration_message(error), INVALID_INPUT)
    except KeyboardInterrupt as error:
        # training.signals.Interrupted carries a message and the signal's number.
        message = one_line(str(error)) or "interrupted"
        close_bars()
        if is_first_process():
            print(f"\n{message}", file=sys.stderr)  # a terminal shows ^C before it
        raise _Stop(SIGNAL + getattr(error, "number", signal.SIGINT), message) from None
    except Exception as error:  # noqa: BLE001 - the last line of defence before the user
        lacking = machine_error(error)
        if lacking:
            _stop(lacking, INVALID_INPUT)
        _stop(f"unexpected {type(error).__name__}: {_joined(error)}", BUG)


def _stop(message: str, status: int) -> NoReturn:
    """Print an error and exit; of several processes that torchrun started only one prints it."""
    close_bars()
    sys.stdout.flush()
    if not says_error():
        raise _Stop(status, message.partition("\n")[0])
    if _debugging():
        traceback.print_exc()
        hint = ""
    else:
        hint = " (debug=true shows the traceback)" if status == BUG else ""
    # Paths and records may hold control characters. A message may hold a table, so lines stay.
    text = "\n".join(map(one_line, message.split("\n")))
    print(f"error: {text}{hint}", file=sys.stderr)
    raise _Stop(status, text.partition("\n")[0])


def _debugging() -> bool:
    # Read from the command line: the configuration itself may be what failed.
    return any(argument.lower() == "debug=true" for argument in sys.argv[1:])


def _configuration_message(error: Exception) -> str:
    """Return Hydra's, OmegaConf's or YAML's error in one line."""
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override}: not readable as key=value; quote a value with special "
            "characters: \"key='VALUE'\""
        )
    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return f"{group}={name}: unknown option; choose one of {', '.join(sorted(error.options))}"
    if isinstance(error, YAMLError):
        return f"a configuration file is not plain YAML: {_joined(error)}"
    several = re.match(r"Ambiguous value for argument '(?P<override>.*?)'\n", str(error))
    if several:
        return f"{several['override']}: more than one value; add -m to run them all"
    unknown = re.match(r"Could not override '(?P<key>[^']+)'", str(error))
    if unknown:
        known = OmegaConf.load(conf_directory() / "run.yaml")
        others = [str(key) for key in known if key != unknown["key"]]
        near = difflib.get_close_matches(unknown["key"], others, n=1)
        hint = f"did you mean {near[0]}?" if near else "--cfg job lists the settings"
        return f"{unknown['key']}: unknown setting of this command; {hint}"
    return _joined(error)


def _joined(error: BaseException) -> str:
    """Return an exception's message with its lines joined to one."""
    return " ".join(str(error).split())
