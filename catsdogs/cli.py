"""What every command shares: its configuration, one-line errors and exit statuses."""

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
from catsdogs.io.text import is_one_line, one_line

BUG, WRONG_INPUT, BROKEN_PIPE = 1, 2, 141
Job = Callable[[DictConfig], int]


OF_A_FILE = {
    errno.ENOSPC: "no space is left on its disk; make room, or choose another folder",
    errno.EDQUOT: "your quota on its disk is used up; make room, or choose another folder",
    errno.EROFS: "its disk is read-only; choose another folder",
    errno.EACCES: "permission denied; change its permissions, or choose another",
    errno.EPERM: "permission denied; change its permissions, or choose another",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.ELOOP: "a link leads back to itself; choose another path",
    errno.EIO: "its disk reports an error; choose another folder",
}
OF_ALL = {
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine; close some programs",
    errno.EAGAIN: "no more processes can be started; use fewer data.workers",
    errno.ENOMEM: "the memory is used up; use a smaller batch_size or fewer data.workers",
}
MEMORY = "out of memory; use a smaller batch_size or val_batch_size, or another device"


def command(config_name: str) -> Callable[[Job], Callable[[], None]]:
    """Turn a function of a configuration, returning an exit status, into a console command.

    What a user caused ends with one line on stderr and status 2, anything else with one line and
    status 1; `debug=true` shows the traceback of either.
    """

    def decorate(job: Job) -> Callable[[], None]:
        @functools.wraps(job)
        def main() -> None:
            logging.basicConfig(format="%(levelname)s: %(message)s")
            # Hydra prints its own errors in several lines and exits with 1 unless told to raise.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal of another encoding
                sys.stdout.reconfigure(errors="backslashreplace")
            with _ending_in_one_line():
                _refuse_unreadable_arguments()
                _refuse_lost_directory()
                run = hydra.main(
                    version_base="1.3", config_path=str(conf_directory()), config_name=config_name
                )
                try:
                    run(functools.partial(_run_job, job))()
                except UnicodeDecodeError as error:  # what a job raises stays within it
                    raise UserError(f"a file of the configuration is no UTF-8: {error}") from error
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
        UserError: For a mandatory value that was not given or a reference that leads nowhere.
    """
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise UserError(f"{missing[0]} has no default: give {missing[0]}=VALUE")
    try:
        values = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(_one_line(error)) from error
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def build_from(node: DictConfig, name: str) -> Any:
    """Build what a section of the configuration names as its `_target_`.

    Raises:
        UserError: If there is no such thing to import; `name` is the setting.
    """
    try:
        return instantiate(node)
    except InstantiationException as error:
        reason = _one_line(error.__cause__ or error)
        target = node.get("_target_")
        raise UserError(f"{name}={target}: cannot be used ({reason})") from error


def _run_job(job: Job, config: DictConfig) -> None:
    """Run a job and leave the process itself, since Hydra would add lines to any exception."""
    with _ending_in_one_line():
        status = job(config)
        sys.stdout.flush()
        if status:
            sys.exit(status)


@contextlib.contextmanager
def _ending_in_one_line() -> Iterator[None]:
    """Leave the process with one line on stderr, whatever goes wrong within."""
    try:
        yield
    except UserError as error:
        _stop(str(error), WRONG_INPUT)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        _stop(_composition_message(error), WRONG_INPUT)
    except KeyboardInterrupt as error:
        # What the training makes of a signal says which one it was. A bar may be on the line.
        print(f"\n{str(error) or 'interrupted'}", file=sys.stderr)
        sys.exit(128 + getattr(error, "number", signal.SIGINT))
    except BrokenPipeError:
        # As the shell's own tools when nobody reads on (`| head`).
        _drop_output()
        sys.exit(BROKEN_PIPE)
    except Exception as error:  # noqa: BLE001 - the last line of defence before the user
        lacking = shortage(error)
        if lacking:
            _stop(lacking, WRONG_INPUT)
        _stop(f"unexpected {type(error).__name__}: {_one_line(error)}", BUG)


def _refuse_unreadable_arguments() -> None:
    for argument in sys.argv[1:]:
        if not is_one_line(argument):
            raise UserError(f"{one_line(argument)}: an argument must be one line of UTF-8")


def _refuse_lost_directory() -> None:
    try:
        Path.cwd()
    except OSError as error:
        raise UserError("the working directory is gone; change to another") from error


def _drop_output() -> None:
    """Let what nobody reads go nowhere: Python would try once more to write it, and complain."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _stop(message: str, status: int) -> NoReturn:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
    if _debugging():
        traceback.print_exc()
        way_out = ""
    else:
        way_out = " (debug=true shows the traceback)" if status == BUG else ""
    # Paths and records may hold what drives a terminal; a table keeps its lines.
    text = "\n".join(map(one_line, message.split("\n")))
    print(f"error: {text}{way_out}", file=sys.stderr)
    sys.exit(status)


def _debugging() -> bool:
    # Read from the command line: an error in the configuration leaves no configuration to ask.
    return any(argument.lower() == "debug=true" for argument in sys.argv[1:])


def _composition_message(error: Exception) -> str:
    if isinstance(error, OverrideParseException):
        way_out = "quote a value that holds more than words and numbers: \"key='VALUE'\""
        return f"cannot read {error.override!r} as key=value; {way_out}"
    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        choices = ", ".join(sorted(error.options))
        return f"{group}={name}: there is no such choice; choose one of {choices}"
    if isinstance(error, YAMLError):
        return f"a file of the configuration is no plain YAML: {_one_line(error)}"
    several = re.match(r"Ambiguous value for argument '(?P<override>.*?)'\n", str(error))
    if several:
        return f"{several['override']}: more than one value; give -m to run them all"
    unknown = re.match(r"Could not override '(?P<key>[^']+)'", str(error))
    if unknown:
        known = OmegaConf.load(conf_directory() / "run.yaml")
        other = [str(key) for key in known if key != unknown["key"]]
        near = difflib.get_close_matches(unknown["key"], other, n=1)
        way_out = f"did you mean {near[0]}?" if near else "--cfg job lists those there are"
        return f"{unknown['key']}: there is no such setting here; {way_out}"
    return _one_line(error)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def shortage(error: BaseException) -> str | None:
    """Return what the machine lacked and the way out; None if that is not what the error tells.

    An error that hides the one of the system, as torch's writer does, is asked for that one.
    """
    # torch is known by its words: a report is made without it.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return MEMORY
    if isinstance(error, RuntimeError):
        if "can't allocate memory" in str(error):
            return MEMORY
        if "DataLoader worker" in str(error) and "killed by signal" in str(error):
            return "data.workers: a process that decodes pictures was killed; use data.workers=0"
    if isinstance(error, OSError) and error.errno in OF_A_FILE:
        return f"{error.filename or 'a file'}: {OF_A_FILE[error.errno]}"
    if isinstance(error, OSError) and error.errno in OF_ALL:
        return OF_ALL[error.errno]
    hidden = error.__cause__ or error.__context__
    return shortage(hidden) if isinstance(error, RuntimeError) and hidden else None
