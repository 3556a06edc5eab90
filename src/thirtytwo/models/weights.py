"""A network's weights in a file for other programs: ``.pth`` (torch.save) or ``.safetensors``, with a card beside it.

The card, ``<file>.json``, says what the weights need to be used. Reading either of them runs no code.
"""

import hashlib
import io
import json
import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from thirtytwo import records
from thirtytwo.errors import UserError

Card = dict[str, Any]
PTH, SAFETENSORS = (".pth", ".pt"), (".safetensors",)
WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts keep a state dict beside their optimizer's state and epoch."""
DEPTH = 3
"""Of such wrappings inside each other, at most: a file may hold itself."""
COUNTER = ".num_batches_tracked"
"""Batch norm's count of steps, which files of before torch 0.4.1 lack, torchvision's ResNets among them."""
TORCH_SAVE = (b"PK\x03\x04", b"\x80")
"""How torch.save's files begin: a zip archive, or before torch 1.6 a pickle."""
PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put in front of every name."""


@dataclass(frozen=True)
class Stored:
    """What a file of weights holds.

    Attributes:
        tensors: its state dict.
        card: what the card beside it says; empty where there is none.
        sha256: hex digest of the file.
    """

    tensors: dict[str, Tensor]
    card: Card
    sha256: str


def read(file: Path) -> Stored:
    """Read a file of weights and the card beside it.

    Raises UserError when it is missing, damaged, more than weights, or not the file that its card is about.
    """
    if file.name == "model.safetensors" and (file.parent / "recipe.toml").is_file():
        raise UserError(
            f"{file}: belongs to a run: say model=run:{file.parent} to begin with it, or bring it out by "
            f"`thirtytwo export {file.parent}`"
        )
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}): name a file of weights") from None
    card, digest = card_beside(file), hashlib.sha256(data).hexdigest()
    if card and card["sha256"] != digest:
        raise UserError(f"{beside(file)}: not about {file}, its sha256 differs: delete it, or bring both back")
    return Stored(unpacked(data, file), card, digest)


def pack(tensors: Mapping[str, Tensor], file: Path) -> bytes:
    """A state dict in the format that the suffix of ``file`` names. Raises UserError for another suffix."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    if suffix(file) in SAFETENSORS:
        return save_tensors(plain)
    buffer = io.BytesIO()
    torch.save(plain, buffer)
    return buffer.getvalue()


def unpacked(data: bytes, file: Path) -> dict[str, Tensor]:
    """The state dict in a file's bytes, taken out of a training script's wrapping and without DataParallel's prefix.

    Raises UserError, and never runs what the file holds, when it is damaged, no state dict, or more than weights.
    """
    found = _load(data, file)
    for _ in range(DEPTH):
        inner = [key for key in WRAPPERS if isinstance(found, Mapping) and isinstance(found.get(key), Mapping)]
        found = found[inner[0]] if inner else found
    if not (isinstance(found, Mapping) and found and all(_is_weight(*item) for item in found.items())):
        raise UserError(
            f"{file}: holds no state dict (names with their tensors): save one with torch.save(net.state_dict(), FILE)"
        )
    for prefix in (*PREFIXES, *PREFIXES):  # either may be outside
        if all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return dict(found)


def fitted(tensors: Mapping[str, Tensor], network: nn.Module, spec: str, file: Path) -> dict[str, Tensor]:
    """``tensors`` under the names that ``network`` has for them.

    A file in which no name is the network's own, but the tensors have its shapes in its order, is taken in that order:
    so does a tutorial's ``conv1.weight`` become a sequence's ``0.weight``. Batch norm's counters may be missing. Raises
    UserError when the file does not fit the network, which ``spec`` names, or holds numbers that are not finite.
    """
    wanted = network.state_dict()
    if tensors.keys() & wanted.keys():
        tensors = {**{name: tensor for name, tensor in wanted.items() if name.endswith(COUNTER)}, **tensors}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    wanted_shapes = {name: tuple(tensor.shape) for name, tensor in wanted.items()}
    if not shapes.keys() & wanted_shapes.keys() and [*shapes.values()] == [*wanted_shapes.values()]:
        tensors = dict(zip(wanted, tensors.values(), strict=True))
    elif shapes != wanted_shapes:
        raise UserError(
            f"{file}: does not fit the model {spec} on these images ({_difference(shapes, wanted_shapes)}): "
            "name the model and the data that it was trained with"
        )
    require_finite(tensors, file)
    require_floats(tensors, wanted, file)
    return dict(tensors)


def require_floats(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], file: Path) -> None:
    """Raises UserError when a file's tensor is of whole numbers where the network's own, ``wanted``, is not."""
    for name, tensor in tensors.items():
        if name in wanted and wanted[name].is_floating_point() and not tensor.is_floating_point():
            raise UserError(
                f"{file}: its {name} holds whole numbers ({tensor.dtype}): give weights that are not quantised"
            )


def require_finite(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Raises UserError when a number of a file's tensors is not finite."""
    if not all(bool(tensor.float().isfinite().all()) for tensor in tensors.values()):
        raise UserError(f"{file}: holds weights that are not finite numbers: its training went wrong")


def beside(file: Path) -> Path:
    """Where the card of a file lies."""
    return file.with_name(f"{file.name}.json")


def card_beside(file: Path) -> Card:
    """The card beside a file, checked as a run's own; empty where there is none."""
    path = beside(file)
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged, cannot be read as JSON ({error}): restore it, or delete it") from None
    return records.checked(path, value, like="model.json")


def suffix(file: Path) -> str:
    """The file's suffix in lower case. Raises UserError for a name that is no file of weights."""
    found = file.suffix.lower()
    if found not in PTH + SAFETENSORS:
        raise UserError(f"{file}: not a name for a file of weights: end it in .pth or .safetensors")
    return found


def _load(data: bytes, file: Path) -> Any:
    ending = suffix(file)
    if ending in PTH and not data.startswith(TORCH_SAVE):
        raise UserError(f"{file}: damaged, or not a {ending} file: get it again")
    try:
        if ending in SAFETENSORS:
            return load_tensors(data)
        with warnings.catch_warnings(action="ignore"):  # about pickles that it is not going to open
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        what = f"asks for {asked[1]}" if asked else "is no plain torch.save"
        raise UserError(
            f"{file}: not opened, it holds more than weights ({what}) and could run code: "
            "save the weights alone, torch.save(net.state_dict(), FILE)"
        ) from error
    except Exception as error:  # a damaged file may lead the readers anywhere
        if "TorchScript" in str(error):
            raise UserError(
                f"{file}: a TorchScript program, not a state dict: save the weights alone, "
                "torch.save(net.state_dict(), FILE)"
            ) from error
        # PyTorch's own words are long, and advise to open the file all the same.
        reason = f" ({error})" if ending in SAFETENSORS else ""
        raise UserError(f"{file}: damaged, or not a {ending} file{reason}: get it again") from error


def _is_weight(name: object, tensor: object) -> bool:
    return (
        isinstance(name, str)
        and isinstance(tensor, Tensor)
        and tensor.device.type == "cpu"
        and tensor.layout == torch.strided
        and not (tensor.is_quantized or tensor.is_complex())
    )


def _difference(shapes: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]]) -> str:
    """What is missing, too much, or of another shape: the first of each."""
    missing = [name for name in wanted if name not in shapes]
    extra = [name for name in shapes if name not in wanted]
    other = [name for name in wanted if name in shapes and shapes[name] != wanted[name]]
    parts = [
        f"{len(names)} tensor{'s' if len(names) > 1 else ''} {what}, such as {names[0]}"
        for names, what in ((missing, "missing"), (extra, "too many"))
        if names
    ]
    return "; ".join([*parts, *(f"{name} is {shapes[name]}, not {wanted[name]}" for name in other[:1])])
