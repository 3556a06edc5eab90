"""``.pth``: what ``torch.save`` writes, a pickle, which is read without running what it may contain."""

import io
import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from thirtytwo.errors import UserError
from thirtytwo.models.weights import formats
from thirtytwo.models.weights.saved import shown, state_dicts

BEGINNINGS = (b"PK\x03\x04", b"\x80")
"""How torch.save's files begin: a zip archive, or before torch 1.6 a pickle."""
LARGEST = 4
"""How many times larger an archive may be when it is unpacked: torch.save does not compress."""


class _PassesForDict(type):
    """PyTorch's reader fills only what it takes for a dict, and a stand-in may be for a subclass of it."""

    def __eq__(cls, other: object) -> bool:
        return cls is other or other is OrderedDict

    __hash__ = type.__hash__


class _Unread(metaclass=_PassesForDict):
    """Stands for every object of a class that is not looked up: takes what the pickle gives it, and does nothing."""

    def __init__(self, *given: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...

    def __setitem__(self, key: object, value: object) -> None: ...


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
        """What was saved: containers, numbers and tensors; other objects beside a state dict are not read.

        Raises UserError if it is damaged, or holds no state dict but other objects.
        """
        if not data.startswith(BEGINNINGS):
            raise _damaged(file)
        unread = _asked_for(data)
        try:
            with warnings.catch_warnings(action="ignore"):  # about pickles that it will not open
                _require_size(data)
                with torch.serialization.safe_globals([(_Unread, name) for name in unread]):
                    found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            asked = re.search(r"GLOBAL (\S+)", str(error))
            names = [asked[1]] if asked else unread
            raise _refused(file, f"asks for {shown(names)}" if names else "is not a plain torch.save") from error
        except Exception as error:  # a damaged file may make the reader raise anything
            if "TorchScript" in str(error):
                raise UserError(
                    f"{file}: a TorchScript program, not a state dict: save the weights alone, "
                    "torch.save(net.state_dict(), FILE)"
                ) from error
            raise _damaged(file) from error
        if unread and not any(state_dicts(found)):
            raise _refused(file, f"asks for {shown(unread)}")
        return found


def _asked_for(data: bytes) -> list[str]:
    """The classes and functions that an archive's pickle names, other than those that weights need; none is run."""
    with (
        suppress(Exception),
        warnings.catch_warnings(action="ignore"),
    ):  # reading it will say why
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data)))
    return []


def _require_size(data: bytes) -> None:
    """Raises ValueError for an archive that would fill the memory."""
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST * len(data):
                raise ValueError("compressed")


def _refused(file: Path, what: str) -> UserError:
    return UserError(
        f"{file}: not opened, it holds more than weights ({what}) and could run code: "
        "save the weights alone, torch.save(net.state_dict(), FILE)"
    )


def _damaged(file: Path) -> UserError:
    """Without PyTorch's own message, which is long and advises opening the file anyway."""
    return UserError(f"{file}: damaged, or not a {file.suffix.lower() or '.pth'} file: get it again")
