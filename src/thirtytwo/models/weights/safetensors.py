"""``.safetensors``: tensors by name and nothing else, which cannot hold code."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load, save
from torch import Tensor

from thirtytwo.models.weights import formats


@formats.register_as("safetensors")
class Safetensors:
    """Hugging Face's format, which cannot hold code."""

    suffixes = (".safetensors",)

    def pack(self, tensors: Mapping[str, Tensor]) -> bytes:
        """The file's bytes."""
        return save(dict(tensors))

    def unpack(self, data: bytes, file: Path) -> dict[str, Tensor]:
        """The state dict."""
        return load(data)
