"""Weights that others trained, from a file: read without running it, and fitted to a network but for its head."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from thirtytwo import weights
from thirtytwo.errors import UserError
from thirtytwo.models.adapt import Normalisation
from thirtytwo.models.stages import heads
from thirtytwo.paths import as_path


def is_file(text: str) -> bool:
    """Whether ``weights=text`` names a file rather than one of a package's own sets of weights."""
    return Path(text).suffix.lower() in weights.PTH + weights.SAFETENSORS or "/" in text


def read(file: Path) -> tuple[dict[str, Tensor], Normalisation | None]:
    """A file's tensors, and the normalisation that a card beside it tells.

    Raises UserError when it is missing, damaged, more than weights, or not the file that its card is about.
    """
    file = as_path(file)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}): name a file of weights") from None
    card = weights.card_beside(file)
    if card and card["sha256"] != hashlib.sha256(data).hexdigest():
        raise UserError(f"{weights.beside(file)}: not about {file}, its sha256 differs: delete it, or bring both back")
    return weights.unpacked(data, file), normalisation(card["mean"], card["std"]) if card else None


def require_hash(file: Path) -> None:
    """Raises UserError unless the file's sha256 begins as its name says: ``resnet18-f37072fd.pth``."""
    match = re.search(r"-([0-9a-f]{8,})\.", file.name)
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if match and not digest.startswith(match[1]):
        raise UserError(
            f"{file}: damaged, or another file: its sha256 begins with {digest[:8]}, not {match[1][:8]} as its name "
            "says: delete it, and it is downloaded again"
        )


def put(tensors: Mapping[str, Tensor], network: nn.Module, spec: str, file: Path, *, with_head: bool = False) -> None:
    """Load ``tensors`` into ``network``: all but the head, which keeps its first values, or ``with_head`` if it fits.

    Raises UserError when they are another network's, or not finite.
    """
    own, head = network.state_dict(), head_of(network)
    if with_head and all(name in tensors and tensors[name].shape == tensor.shape for name, tensor in head.items()):
        head = {}
    own.update(weights.fitted({**tensors, **head}, network, spec, file))
    network.load_state_dict(own)


def head_of(network: nn.Module) -> dict[str, Tensor]:
    """The part of the network's state dict that belongs to its head."""
    inside = tuple(f"{head}." for head in heads(network))
    return {name: tensor for name, tensor in network.state_dict().items() if name.startswith(inside)}


def normalisation(mean: list[float] | tuple[float, ...], std: list[float] | tuple[float, ...]) -> Normalisation:
    """As tensors (3,), one number standing for all channels."""
    return torch.tensor(mean).float().expand(3).clone(), torch.tensor(std).float().expand(3).clone()
