"""Read tensors that others wrote without ever running code that the file may carry."""

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from catsdogs.errors import UserError


def load_torch_file(path: Path, complaint: str) -> Any:
    """Load what `torch.save` wrote, or a .safetensors file: tensors and plain values, on the CPU.

    Raises:
        UserError: With `complaint` and the reason, if the file is absent, damaged or holds
            anything that would have to be executed.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own message advises to load it with weights_only=False, which runs its code.
        reason = "it holds more than tensors and plain values, or is not of torch.save at all"
        raise UserError(f"{complaint} ({reason})") from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, SafetensorError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{complaint} ({reason})") from error
