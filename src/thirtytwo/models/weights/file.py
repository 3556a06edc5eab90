"""A network's weights in a file, and the card beside it: read with checks, written in the format of its suffix."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from thirtytwo import records
from thirtytwo.errors import UnknownName, UserError
from thirtytwo.files import sha256
from thirtytwo.models.weights import Format, formats
from thirtytwo.models.weights.saved import state_dict_in
from thirtytwo.records import Card

SUFFIX = re.compile(r"\.[a-z0-9_]+")


@dataclass(frozen=True)
class Stored:
    """What a file of weights holds.

    Attributes:
        tensors: its state dict.
        card: what the card beside it says; None if there is none.
        sha256: hex digest of the file.
        taken: where in the file the state dict was, and what else there is; empty if the file is one and nothing else.
    """

    tensors: dict[str, Tensor]
    card: Card | None
    sha256: str
    taken: str


def read(file: Path, key: str | None = None) -> Stored:
    """Read a file of weights and the card beside it; ``key`` says which state dict is taken, as in `state_dict_in`.

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
    tensors, taken = state_dict_in(_opened(data, file), file, key)
    return Stored(tensors, card, digest, taken)


def pack(tensors: Mapping[str, Tensor], file: Path) -> bytes:
    """A state dict in the format that the suffix of ``file`` names. Raises UserError for another suffix."""
    data = format_of(file).pack({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()})
    if not isinstance(data, bytes):
        raise UserError(f"{file}: its format's pack gave {type(data).__name__}, not bytes")
    return data


def unpacked(data: bytes, file: Path) -> dict[str, Tensor]:
    """The state dict in a file's bytes. Raises UserError as `read` does, and never runs what the file contains."""
    return state_dict_in(_opened(data, file), file, None)[0]


def _opened(data: bytes, file: Path) -> object:
    """What a file's bytes hold."""
    try:
        return _format_in(data, file).unpack(data, file)
    except UserError:
        raise
    except Exception as error:  # a damaged file may make the reader raise anything
        raise UserError(f"{file}: damaged, or not a {file.suffix.lower()} file ({error}): get it again") from error


def _format_in(data: bytes, file: Path) -> Format:
    """The format that the suffix names; the two that show in the first bytes go by these, whatever the suffix."""
    named = _by_suffix().get(file.suffix.lower())
    if named in (None, "pth", "safetensors"):
        if data.startswith(b"\x80") or (data.startswith(b"PK\x03\x04") and b"/data.pkl" in data[:1024]):
            return formats.build("pth")
        if data[8:9] == b"{":
            return formats.build("safetensors")
    return format_of(file)


def beside(file: Path) -> Path:
    """Where the card of a file is."""
    return file.with_name(f"{file.name}.json")


def card_beside(file: Path) -> Card | None:
    """The card beside a file, checked like a run's own; None if there is none."""
    return records.read(beside(file), Card)


def format_of(file: Path) -> Format:
    """The format that the file's suffix names. Raises UserError if there is none."""
    by_suffix = _by_suffix()
    if file.suffix.lower() in by_suffix:
        return formats.build(by_suffix[file.suffix.lower()])
    *most, last = sorted(formats.build(name).suffixes[0] for name in formats)
    raise UnknownName(f"{file}: not a name for a file of weights: use the suffix {', '.join(most)} or {last}")


def _by_suffix() -> dict[str, str]:
    """The name of each suffix's format. Raises UserError if two have the same."""
    found: dict[str, str] = {}
    for name in formats:
        for suffix in _suffixes(name, formats.build(name)):
            if suffix in found:
                raise UserError(f"format '{name}': '{suffix}' is a suffix of '{found[suffix]}' already: choose another")
            found[suffix] = name
    return found


def _suffixes(name: str, given: Format) -> tuple[str, ...]:
    """Raises UserError for suffixes that no file's name could end in."""
    found = getattr(given, "suffixes", None)
    if not isinstance(found, tuple) or not found or not all(SUFFIX.fullmatch(str(each)) for each in found):
        raise UserError(
            f"format '{name}': suffixes={found!r}: give a tuple such as ('.npz',), in lower case with one dot"
        )
    return found
