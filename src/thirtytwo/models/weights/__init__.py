"""Files of weights for other programs, each format by name; beside each file is a card, ``<file>.json``.

The card says what is needed to use the weights. A format is a class without arguments that is registered with
``@formats.register_as("npz")`` and implements `Format`; the suffix of a file determines its format.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from thirtytwo.registry import Registry


class Format(Protocol):
    """How a state dict, names with their tensors, is converted to the bytes of a file and back.

    Attributes:
        suffixes: of its files, in lower case with their dots; the first is the default.
    """

    suffixes: tuple[str, ...]

    def pack(self, tensors: Mapping[str, Tensor]) -> bytes:
        """The file's bytes. The tensors are contiguous, on the processor, and share no memory."""

    def unpack(self, data: bytes, file: Path) -> Any:
        """The state dict that was packed, or what a training script wrapped around it.

        Runs nothing that the bytes contain. May raise anything if they are damaged; a UserError is shown as it is, so
        it must name ``file``.
        """


formats: Registry[Format] = Registry("format of weights", package="thirtytwo.models.weights")

__all__ = ["Format", "formats"]
