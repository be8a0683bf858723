"""Read tensors that others wrote without ever running code that the file may carry."""

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from catsdogs.errors import UserError

NOT_PLAIN = "it holds more than tensors and plain values, or is not of torch.save at all"


# The archive that torch.save writes has a header and padding for each tensor, and an index.
FILE_BYTES_PER_TENSOR, FILE_BYTES_ONCE = 512, 8192


def load_torch_file(path: Path, complaint: str) -> Any:
    """Load what `torch.save` wrote, or a .safetensors file: tensors and plain values, on the CPU.

    Raises:
        UserError: With `complaint` and the reason, if the file is absent, damaged or holds
            anything that would have to be executed.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if zipfile.is_zipfile(path):
            _refuse_foreign_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the file: it is ours to judge, in one line
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own message advises to load it with weights_only=False, which runs its code.
        raise UserError(f"{complaint} ({NOT_PLAIN})") from error
    except MemoryError:
        raise
    except (OSError, SafetensorError) as error:
        raise UserError(f"{complaint} ({_reason(error)})") from error
    # A damaged pickle is a damaged program: there is no end to what it makes its reader raise.
    except Exception as error:
        raise UserError(f"{complaint} (damaged: {_reason(error)})") from error


def _refuse_foreign_archive(path: Path) -> None:
    """Refuse a zip file that torch.save has not made: a program, or one that grows when read."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(Path(member.filename).name == "constants.pkl" for member in members):
        raise pickle.UnpicklingError("TorchScript")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise OSError("its archive is compressed, and torch.save compresses nothing")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise OSError("the parts of its archive are larger than the whole")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    first_line = str(error).strip().partition("\n")[0]
    return first_line.partition(". ")[0] or type(error).__name__
