"""Whether tensors from a file are a network's weights, and under which of its names."""

import logging
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from thirtytwo.errors import UserError
from thirtytwo.models.weights.saved import AVERAGED, several, shown

log = logging.getLogger("thirtytwo")

COUNTER = ".num_batches_tracked"
"""Batch norm's count of steps, which files from before torch 0.4.1 lack, torchvision's ResNets among them."""
INSIDE = re.compile(r"(?<![^.])(?:module|_orig_mod)\.")
"""What DataParallel and torch.compile put inside a name, where they wrap a part of the network."""
LEVELS = 8
"""Parts of a name that may be a prefix."""
_ASIDE = re.compile(rf"[^.]*(?:criteri|loss|metric|{AVERAGED.pattern})", re.IGNORECASE)
"""How a training program calls what it keeps beside the network: a loss with weights of its own, an average."""


def named(tensors: Mapping[str, Tensor], network: nn.Module, file: Path) -> dict[str, Tensor]:
    """``tensors`` under the network's names, where a program's class around the network put a prefix before them.

    It is the prefix under which most of the network's tensors are found, if that is at least half of them. What is not
    under it, and a loss's weights, are left out, with a warning. Averages yield to what is none. Raises UserError if
    several networks are found.
    """
    wanted = {name: tensor.shape for name, tensor in network.state_dict().items() if not name.endswith(COUNTER)}
    inner = {INSIDE.sub("", name): tensor for name, tensor in tensors.items()}
    found, prefixes = max(
        ((each, _prefixes(each, wanted)) for each in (tensors, inner)), key=lambda pair: _most(pair[1])
    )
    best = [prefix for prefix, count in prefixes.items() if count == _most(prefixes)]
    plain = [prefix for prefix in best if not AVERAGED.search(prefix)] or best
    if 2 * _most(prefixes) < len(wanted) or "" in plain:
        plain = [""]
    if len(plain) > 1:
        raise several([prefix.removesuffix(".") for prefix in plain], file)
    under = {name.removeprefix(plain[0]): each for name, each in found.items() if name.startswith(plain[0])}
    kept = {name: tensor for name, tensor in under.items() if name in wanted or not _ASIDE.match(name)}
    if left := [name for name in found if name.removeprefix(plain[0]) not in kept or not name.startswith(plain[0])]:
        log.warning("%s: left out what is not the network's: %s", file, shown(left))
    return kept


def _prefixes(tensors: Mapping[str, Tensor], wanted: Mapping[str, torch.Size]) -> Counter[str]:
    """How many of the network's tensors, by name and shape, are found under each prefix."""
    found: Counter[str] = Counter()
    for name, tensor in tensors.items():
        parts = name.split(".", LEVELS)
        for level in range(len(parts)):
            if wanted.get(inner := ".".join(parts[level:])) == tensor.shape:
                found[name.removesuffix(inner)] += 1
    return found


def _most(prefixes: Counter[str]) -> int:
    return max(prefixes.values(), default=0)


def fitted(tensors: Mapping[str, Tensor], network: nn.Module, spec: str, file: Path) -> dict[str, Tensor]:
    """``tensors`` under the names that ``network`` has for them.

    A file in which no name is the network's own, but the tensors have its shapes in its order, is read in that order:
    this is how a tutorial's ``conv1.weight`` becomes a sequence's ``0.weight``, with a warning. Batch norm's counters
    may be missing, and prefixes are taken off as `named` does. Raises UserError if the file does not fit the network,
    which ``spec`` names, or holds numbers that are not finite.
    """
    wanted, tensors = network.state_dict(), named(tensors, network, file)
    if tensors.keys() & wanted.keys():
        tensors = {**{name: tensor for name, tensor in wanted.items() if name.endswith(COUNTER)}, **tensors}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    wanted_shapes = {name: tuple(tensor.shape) for name, tensor in wanted.items()}
    if not shapes.keys() & wanted_shapes.keys() and [*shapes.values()] == [*wanted_shapes.values()]:
        log.warning(
            "%s: its tensors' names (%s, ...) are not those of %s: matched in order, in which all shapes agree",
            file, next(iter(tensors)), spec,
        )  # fmt: skip
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
    """Raises UserError if a file's tensor holds whole numbers where the network's own, ``wanted``, does not."""
    for name, tensor in tensors.items():
        if name in wanted and wanted[name].is_floating_point() and not tensor.is_floating_point():
            raise UserError(
                f"{file}: its {name} holds whole numbers ({tensor.dtype}): use weights that are not quantised"
            )


def require_finite(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Raises UserError if a number in a file's tensors is not finite."""
    if not all(bool(tensor.float().isfinite().all()) for tensor in tensors.values()):
        raise UserError(f"{file}: holds weights that are not finite numbers: its training went wrong")


def _difference(shapes: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]]) -> str:
    """What is missing, superfluous, or of a different shape: the first of each."""
    missing = [name for name in wanted if name not in shapes]
    extra = [name for name in shapes if name not in wanted]
    other = [name for name in wanted if name in shapes and shapes[name] != wanted[name]]
    parts = [
        f"{len(names)} tensor{'s' if len(names) > 1 else ''} {what}, such as {names[0]}"
        for names, what in ((missing, "missing"), (extra, "too many"))
        if names
    ]
    return "; ".join([*parts, *(f"{name} is {shapes[name]}, not {wanted[name]}" for name in other[:1])])
