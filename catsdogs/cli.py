"""Hydra functions as console commands: plain configuration, one-line errors, exit statuses."""

import contextlib
import difflib
import errno
import functools
import io
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from catsdogs.errors import UserError
from catsdogs.io.text import OneLineFormatter, is_one_line, one_line

Job = Callable[[DictConfig], int]

# Exit statuses; a signal N ends a command with 128 + N.
BUG, INVALID_INPUT, BROKEN_PIPE = 1, 2, 141

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


def command(config_name: str) -> Callable[[Job], Callable[[], None]]:
    """Turn a function of a configuration, which returns an exit status, into a console command.

    A `UserError` or an invalid configuration ends with one line on stderr and status 2, any other
    error with one line and status 1; `debug=true` adds the traceback to both.

    Args:
        config_name: The command's file in `conf/`, without suffix.
    """

    def decorate(job: Job) -> Callable[[], None]:
        @functools.wraps(job)
        def main() -> None:
            handler = logging.StreamHandler()
            handler.setFormatter(OneLineFormatter("%(levelname)s: %(message)s"))
            logging.basicConfig(handlers=[handler])
            # Or Hydra prints its own errors, in several lines, and exits with 1.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            if isinstance(sys.stdout, io.TextIOWrapper):  # its encoding may lack characters
                sys.stdout.reconfigure(errors="backslashreplace")
            with _one_line_errors():
                _check_arguments()
                _check_working_directory()
                run = hydra.main(
                    version_base="1.3", config_path=str(conf_directory()), config_name=config_name
                )
                try:
                    run(functools.partial(_run_job, job))()
                # Of a configuration file: _run_job lets no exception of the job through.
                except UnicodeDecodeError as error:
                    raise UserError(f"a configuration file is not UTF-8: {error}") from error
                sys.stdout.flush()

        return main

    return decorate


def conf_directory() -> Path:
    """Return `conf/`: inside the package when installed, beside it in a source tree."""
    package = Path(__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


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
    hidden = error.__cause__ or error.__context__
    return machine_error(hidden) if isinstance(error, RuntimeError) and hidden else None


def _file_of(error: OSError) -> str:
    """Return the file of an error: of a rename, the one that should have been made."""
    return str(error.filename2 or error.filename or "a file")


def _check_arguments() -> None:
    for argument in sys.argv[1:]:
        if not is_one_line(argument):
            raise UserError(f"{one_line(argument)}: must be one line of UTF-8")


def _check_working_directory() -> None:
    try:
        Path.cwd()
    except OSError as error:
        raise UserError("the working directory no longer exists; change to another") from error


def _run_job(job: Job, config: DictConfig) -> None:
    """Run a job and exit the process from here: Hydra would add lines to any exception."""
    with _one_line_errors():
        status = job(config)
        sys.stdout.flush()
        if status:
            sys.exit(status)


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
        # training.signals.Interrupted carries a message and the signal's number. The line break
        # is for a progress bar.
        print(f"\n{one_line(str(error)) or 'interrupted'}", file=sys.stderr)
        sys.exit(128 + getattr(error, "number", signal.SIGINT))
    except BrokenPipeError:
        # Silent, as the shell's own tools are when the reader has closed the pipe (`| head`).
        _discard_output()
        sys.exit(BROKEN_PIPE)
    except Exception as error:  # noqa: BLE001 - the last line of defence before the user
        lacking = machine_error(error)
        if lacking:
            _stop(lacking, INVALID_INPUT)
        _stop(f"unexpected {type(error).__name__}: {_joined(error)}", BUG)


def _stop(message: str, status: int) -> NoReturn:
    """Print an error and exit."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
    if _debugging():
        traceback.print_exc()
        hint = ""
    else:
        hint = " (debug=true shows the traceback)" if status == BUG else ""
    # Paths and records may hold control characters. A message may hold a table, so lines stay.
    text = "\n".join(map(one_line, message.split("\n")))
    print(f"error: {text}{hint}", file=sys.stderr)
    sys.exit(status)


def _discard_output() -> None:
    """Redirect stdout to nowhere: Python flushes it once more at exit, and would complain."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
