"""Weights that others trained, from a file: read without running code, and fitted to a network except its head."""

import hashlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor

from thirtytwo.errors import UserError
from thirtytwo.models.network import Network, Normalisation, Origin
from thirtytwo.models.stages import heads
from thirtytwo.models.weights import file as weights
from thirtytwo.models.weights.fit import fitted
from thirtytwo.paths import as_path

HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,})\.")
"""torch.hub's convention: ``resnet18-f37072fd.pth``."""


def is_file(text: str) -> bool:
    """Whether ``weights=text`` names a file rather than one of a package's own sets of weights, which have no dots."""
    return bool(Path(text).suffix) or "/" in text


@dataclass(frozen=True)
class Published:
    """A file of pretrained weights.

    Attributes:
        tensors: its state dict.
        normalisation: what a card beside it says; None if there is none.
        origin: where it is, and its sha256.
    """

    tensors: dict[str, Tensor]
    normalisation: Normalisation | None
    origin: Origin


def read(file: Path) -> Published:
    """Read a file of pretrained weights. Raises UserError as `weights.read` does."""
    stored = weights.read(as_path(file))
    card = stored.card
    given = normalisation(card["mean"], card["std"]) if card else None
    return Published(stored.tensors, given, origin(file, stored.sha256))


def origin(path: Path, sha256: str) -> Origin:
    """The origin of weights from a file or a run at ``path``, as the user names it, with their sha256."""
    # Links are not followed: what they point to, in a hub's cache, has no suffix.
    return Origin(str(as_path(path).absolute()), sha256)


def from_torchs_cache(spec: str, url: str) -> Path:
    """The copy of a file in torch.hub's cache, downloaded if it is not there, and checked against the hash in its name.

    Raises UserError if it cannot be downloaded, saying which file to put where.
    """
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    weights.format_of(file)
    said = hash_in_name(file)
    if not file.is_file():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(file), said, progress=sys.stderr.isatty())
        except (OSError, RuntimeError) as error:  # urllib's errors are OSErrors
            # A plain URLError wraps what went wrong on the way to the server.
            reason = str(error.reason if type(error) is URLError else error).partition("\n")[0]
            raise UserError(
                f"{spec}: its weights cannot be downloaded ({reason}): fetch {url} by other means and put it into "
                f"{file.parent} (TORCH_HOME moves that folder), or name it in the model, \"{spec}(weights='FILE')\""
            ) from None
    if said:
        require_hash(file, sha256_of(file), said)
    return file


def hash_in_name(file: Path) -> str | None:
    """The hex digits in a published file's name with which its sha256 must begin, if there are any."""
    found = HASH_IN_NAME.search(file.name)
    return found[1] if found else None


def sha256_of(file: Path) -> str:
    """Hex digest of a file, a block at a time."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def require_hash(file: Path, sha256: str, begin: str, remedy: str = "delete it, and it is downloaded again") -> None:
    """Raises UserError, with the ``remedy``, unless a file's ``sha256`` begins with the digits in its name."""
    if not sha256.startswith(begin):
        raise UserError(
            f"{file}: damaged, or a different file: its sha256 begins with {sha256[:8]}, not {begin[:8]} as its name "
            f"says: {remedy}"
        )


def put(tensors: Mapping[str, Tensor], network: Network, spec: str, file: Path, *, with_head: bool = False) -> None:
    """Load ``tensors`` into ``network``: all but the head, which keeps its initial values.

    ``with_head`` loads the head too if it fits. Raises UserError if they are another network's, or not finite.
    """
    own, head = network.module.state_dict(), head_of(network)
    if with_head and all(name in tensors and tensors[name].shape == tensor.shape for name, tensor in head.items()):
        head = {}
    own.update(fitted({**tensors, **head}, network.module, spec, file))
    network.module.load_state_dict(own)


def head_of(network: Network) -> dict[str, Tensor]:
    """The part of the network's state dict that belongs to its head."""
    inside = tuple(f"{head}." for head in heads(network))
    return {name: tensor for name, tensor in network.module.state_dict().items() if name.startswith(inside)}


def normalisation(mean: list[float] | tuple[float, ...], std: list[float] | tuple[float, ...]) -> Normalisation:
    """Mean and standard deviation as tensors (3,); a single number applies to all channels."""
    return torch.tensor(mean).float().expand(3).clone(), torch.tensor(std).float().expand(3).clone()
