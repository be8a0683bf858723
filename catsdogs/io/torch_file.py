"""Safe reading of tensor files: code that a file may contain is never run."""

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from catsdogs.errors import UserError
from catsdogs.io.files import open_regular

NOT_PLAIN = "it holds more than tensors and plain values, or torch.save did not write it"
# Overhead of torch.save's archive: a header and padding for each tensor, and an index.
FILE_BYTES_PER_TENSOR, FILE_BYTES_ONCE = 512, 8192


def load_torch_file(path: Path, complaint: str) -> Any:
    """Load a file of `torch.save` or a .safetensors file: tensors and plain values, on the CPU.

    Args:
        path: Of the file; the suffix .safetensors decides its format.
        complaint: Start of the error message, which the reason in parentheses follows.

    Raises:
        UserError: If the file is absent or damaged, or loading it would execute code.
    """
    try:
        open_regular(path).close()
        if path.suffix == ".safetensors":
            return load_file(path)
        if zipfile.is_zipfile(path):
            _refuse_foreign_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an unusable file becomes one error line below
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's message advises weights_only=False, which would run the file's code.
        raise UserError(f"{complaint} ({NOT_PLAIN})") from error
    except MemoryError:
        raise
    except (OSError, SafetensorError) as error:
        raise UserError(f"{complaint} ({_reason(error)})") from error
    # A damaged pickle is a damaged program, and can raise anything.
    except Exception as error:
        raise UserError(f"{complaint} (damaged: {_reason(error)})") from error


def _refuse_foreign_archive(path: Path) -> None:
    """Refuse a zip file that torch.save did not write so: TorchScript, damaged, or one that grows.

    torch.load does not compare checksums. Without any, as torch.save can be told, they are all 0.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(Path(member.filename).name == "constants.pkl" for member in members):
            raise pickle.UnpicklingError("TorchScript")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise OSError("its archive is compressed, which torch.save never does")
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise OSError("the members of its archive are larger than the file")
        damaged = archive.testzip() if any(member.CRC for member in members) else None
    if damaged is not None:
        raise OSError(f"damaged: {damaged} differs from its checksum")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    first_line = str(error).strip().partition("\n")[0]
    return first_line.partition(". ")[0] or type(error).__name__
