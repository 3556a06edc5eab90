"""A network's weights in a file, and the card beside it: read with checks, written in the format of its suffix."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from thirtytwo import records
from thirtytwo.errors import UnknownName, UserError
from thirtytwo.files import sha256
from thirtytwo.models.weights import Format, formats
from thirtytwo.records import Card

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts keep a state dict beside their optimizer's state and epoch."""
DEPTH = 3
"""How many such wrappers are opened, at most: a file may contain itself."""
SUFFIX = re.compile(r"\.[a-z0-9_]+")
PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put in front of every name."""


@dataclass(frozen=True)
class Stored:
    """What a file of weights holds.

    Attributes:
        tensors: its state dict.
        card: what the card beside it says; None if there is none.
        sha256: hex digest of the file.
    """

    tensors: dict[str, Tensor]
    card: Card | None
    sha256: str


def read(file: Path) -> Stored:
    """Read a file of weights and the card beside it.

    Raises UserError if it is missing, damaged, more than weights, or not the file that its card describes.
    """
    if file.name == "model.safetensors" and (file.parent / "recipe.toml").is_file():
        raise UserError(
            f"{file}: belongs to a run: use model=run:{file.parent} to start from it, or export it with "
            f"`thirtytwo export {file.parent}`"
        )
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}): name a file of weights") from None
    card, digest = card_beside(file), sha256(data)
    if card and card["sha256"] != digest:
        raise UserError(f"{beside(file)}: does not describe {file}, whose sha256 differs: delete it, or restore both")
    return Stored(unpacked(data, file), card, digest)


def pack(tensors: Mapping[str, Tensor], file: Path) -> bytes:
    """A state dict in the format that the suffix of ``file`` names. Raises UserError for another suffix."""
    data = format_of(file).pack({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()})
    if not isinstance(data, bytes):
        raise UserError(f"{file}: its format's pack gave {type(data).__name__}, not bytes")
    return data


def unpacked(data: bytes, file: Path) -> dict[str, Tensor]:
    """The state dict in a file's bytes, taken out of a training script's wrapping and without DataParallel's prefix.

    Raises UserError, and never runs what the file contains, if it is damaged, not a state dict, or more than weights.
    """
    stored_as = format_of(file)
    try:
        found = stored_as.unpack(data, file)
    except UserError:
        raise
    except Exception as error:  # a damaged file may make the reader raise anything
        raise UserError(f"{file}: damaged, or not a {file.suffix.lower()} file ({error}): get it again") from error
    for _ in range(DEPTH):
        inner = [key for key in WRAPPERS if isinstance(found, Mapping) and isinstance(found.get(key), Mapping)]
        found = found[inner[0]] if inner else found
    if not (isinstance(found, Mapping) and found and all(_is_weight(*item) for item in found.items())):
        raise UserError(
            f"{file}: holds no state dict (names with their tensors): save one with torch.save(net.state_dict(), FILE)"
        )
    for prefix in (*PREFIXES, *PREFIXES):  # either may be the outer one
        if all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return dict(found)


def beside(file: Path) -> Path:
    """Where the card of a file is."""
    return file.with_name(f"{file.name}.json")


def card_beside(file: Path) -> Card | None:
    """The card beside a file, checked like a run's own; None if there is none."""
    return records.read(beside(file), Card)


def format_of(file: Path) -> Format:
    """The format that the file's suffix names. Raises UserError if there is none."""
    known = {name: formats.build(name) for name in formats}
    by_suffix: dict[str, str] = {}
    for name, each in known.items():
        for suffix in _suffixes(name, each):
            if suffix in by_suffix:
                raise UserError(
                    f"format '{name}': '{suffix}' is a suffix of '{by_suffix[suffix]}' already: choose another"
                )
            by_suffix[suffix] = name
    if file.suffix.lower() in by_suffix:
        return known[by_suffix[file.suffix.lower()]]
    *most, last = sorted(each.suffixes[0] for each in known.values())
    raise UnknownName(f"{file}: not a name for a file of weights: use the suffix {', '.join(most)} or {last}")


def _suffixes(name: str, given: Format) -> tuple[str, ...]:
    """Raises UserError for suffixes that no file's name could end in."""
    found = getattr(given, "suffixes", None)
    if not isinstance(found, tuple) or not found or not all(SUFFIX.fullmatch(str(each)) for each in found):
        raise UserError(
            f"format '{name}': suffixes={found!r}: give a tuple such as ('.npz',), in lower case with one dot"
        )
    return found


def _is_weight(name: object, tensor: object) -> bool:
    return (
        isinstance(name, str)
        and isinstance(tensor, Tensor)
        and tensor.device.type == "cpu"
        and tensor.layout == torch.strided
        and not (tensor.is_quantized or tensor.is_complex())
    )
