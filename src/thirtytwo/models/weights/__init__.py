"""Files of weights for other programs, each format by name; beside a file lies a card, ``<file>.json``.

The card says what the weights need to be used. A format is a class without arguments that is registered with
``@formats.register_as("npz")`` and does what `Format` says; which one a file has, its suffix tells.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from thirtytwo.registry import Registry


class Format(Protocol):
    """How a state dict, names with their tensors, becomes the bytes of a file and comes back from them.

    Attributes:
        suffixes: of its files, in lower case with their dots; the first is that of a file without a name of its own.
    """

    suffixes: tuple[str, ...]

    def pack(self, tensors: Mapping[str, Tensor]) -> bytes:
        """The file's bytes. The tensors are contiguous, on the processor, and share no memory."""

    def unpack(self, data: bytes, file: Path) -> Any:
        """What `pack` made bytes of, or what a training script wrapped around it.

        Runs nothing that the bytes hold. May raise anything where they are damaged; a UserError is shown as it is, so
        that it names ``file``.
        """


formats: Registry[Format] = Registry("format of weights", package="thirtytwo.models.weights")

__all__ = ["Format", "formats"]
