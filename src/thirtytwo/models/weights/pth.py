"""``.pth``: what ``torch.save`` writes, a pickle, which is read without running what it may contain."""

import io
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from thirtytwo.errors import UserError
from thirtytwo.models.weights import formats

BEGINNINGS = (b"PK\x03\x04", b"\x80")
"""How torch.save's files begin: a zip archive, or before torch 1.6 a pickle."""


@formats.register_as("pth")
class Pth:
    """PyTorch's own format, by torch.save."""

    suffixes = (".pth", ".pt")

    def pack(self, tensors: Mapping[str, Tensor]) -> bytes:
        """The file's bytes."""
        buffer = io.BytesIO()
        torch.save(dict(tensors), buffer)
        return buffer.getvalue()

    def unpack(self, data: bytes, file: Path) -> Any:
        """What was saved, if it is made of containers, numbers and tensors alone.

        Raises UserError if it is damaged, or asks for more.
        """
        if not data.startswith(BEGINNINGS):
            raise _damaged(file)
        try:
            with warnings.catch_warnings(action="ignore"):  # about pickles that it will not open
                return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            asked = re.search(r"GLOBAL (\S+)", str(error))
            what = f"asks for {asked[1]}" if asked else "is not a plain torch.save"
            raise UserError(
                f"{file}: not opened, it holds more than weights ({what}) and could run code: "
                "save the weights alone, torch.save(net.state_dict(), FILE)"
            ) from error
        except Exception as error:  # a damaged file may make the reader raise anything
            if "TorchScript" in str(error):
                raise UserError(
                    f"{file}: a TorchScript program, not a state dict: save the weights alone, "
                    "torch.save(net.state_dict(), FILE)"
                ) from error
            raise _damaged(file) from error


def _damaged(file: Path) -> UserError:
    """Without PyTorch's own message, which is long and advises opening the file anyway."""
    return UserError(f"{file}: damaged, or not a {file.suffix.lower()} file: get it again")
