"""Where the state dict is in what a training script saved: beside an epoch, an optimizer's state, an average."""

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeGuard

import torch
from torch import Tensor

from thirtytwo.errors import UserError

log = logging.getLogger("thirtytwo")

DEPTH = 5
"""Levels of containers that are opened."""
PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put in front of every name."""
AVERAGES = "n_averaged"
"""The counter that torch's AveragedModel keeps beside the network."""
AVERAGED = re.compile(r"(?<![a-z])ema(?![a-z])|averag|swa(?![a-z])|shadow", re.IGNORECASE)
"""In the name of weights that are averaged along the training."""
_OTHER = re.compile(r"^opt|optim|sched|scaler", re.IGNORECASE)
"""In the name of what is no network's."""
_FLOATS = frozenset((torch.float64, torch.float32, torch.float16, torch.bfloat16))
_WHOLE = frozenset((torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64))


def state_dict_in(saved: object, file: Path, key: str | None) -> tuple[dict[str, Tensor], str]:
    """The state dict in what was saved, without DataParallel's prefix, and a line on what else there is.

    Args:
        saved: what the file holds.
        file: named in messages.
        key: which one is taken, if there are several: its path, ``ema.state_dict``, or what its tensors' names begin
            with. Without it the only one is taken, averages apart.

    Raises UserError if there is none, none under that key, or more than one.
    """
    found = dict(state_dicts(saved))
    if not found:
        raise UserError(
            f"{file}: holds no state dict (names with their tensors): save one with torch.save(net.state_dict(), FILE)"
        )
    path, tensors = _under(found, key, file) if key is not None else _only(found, file)
    others = [other for other in found if other not in ("", path) and not path.startswith(f"{other}.")]
    if key is None and others:
        log.warning("%s: took %s; --key takes the other, %s", file, shown([path]), shown(others))
    left = [*_beside(saved, path, tensors)]
    note = f"{shown([path])}; left {shown(left)}" if path and left else shown([path]) if path else ""
    names = [name for name in tensors if name != AVERAGES]
    stripped = {name: name for name in names}
    while prefix := next((each for each in PREFIXES if all(name.startswith(each) for name in stripped)), None):
        stripped = {name.removeprefix(prefix): own for name, own in stripped.items()}
    return {name: tensors[own] for name, own in stripped.items()}, note


def state_dicts(saved: object) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The state dicts in nested containers, each with its dotted path; the path of the outermost container is empty.

    A state dict is a mapping of names to tensors, or a list of tensors, of which at least one has two dimensions unless
    there is nothing else: counters, losses and the best accuracy have fewer. An optimizer's state is none.
    """
    return _search(saved, "", DEPTH, set())


def _search(saved: object, path: str, depth: int, known: set[int]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    inside = _items(saved)
    if not inside or depth == 0 or id(saved) in known or "param_groups" in inside:
        return
    known.add(id(saved))
    deeper = [
        found
        for name, each in inside.items()
        if not _OTHER.search(name)
        for found in _search(each, f"{path}.{name}" if path else name, depth - 1, known)
    ]
    tensors = {name: each for name, each in inside.items() if _is_weight(each)}
    alone = len(tensors) == len(inside)
    whole = alone or isinstance(saved, Mapping)
    if not deeper and whole and (any(tensor.ndim > 1 for tensor in tensors.values()) or (alone and not path)):
        yield path, tensors
    yield from deeper


def _items(saved: object) -> dict[str, object]:
    """What is in a container, by name; in a list by position. Empty for anything else."""
    if isinstance(saved, Mapping):
        return {name: each for name, each in saved.items() if isinstance(name, str)}
    return {str(i): each for i, each in enumerate(saved)} if isinstance(saved, list | tuple) else {}


def _is_weight(value: object) -> TypeGuard[Tensor]:
    return (
        isinstance(value, Tensor)
        and value.device.type == "cpu"
        and value.layout == torch.strided
        and value.dtype in _FLOATS | _WHOLE
        # A view that repeats a few stored numbers may need any memory once it is copied.
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    )


def _only(found: Mapping[str, dict[str, Tensor]], file: Path) -> tuple[str, dict[str, Tensor]]:
    """The one that is no average, or the only average."""
    plain = [path for path in found if not AVERAGED.search(path)] or [*found]
    if len(plain) > 1:
        raise several(plain, file)
    return plain[0], found[plain[0]]


def _under(found: Mapping[str, dict[str, Tensor]], key: str, file: Path) -> tuple[str, dict[str, Tensor]]:
    """The state dict whose path is ``key``, or the tensors of one whose names begin with it."""
    if key in found:
        return key, found[key]
    for path, tensors in found.items():
        within = key.removeprefix(f"{path}.") + "."
        if chosen := {name.removeprefix(within): each for name, each in tensors.items() if name.startswith(within)}:
            return key, chosen
    there = f"--key takes {shown(found)}" if [*found] != [""] else "it is one itself"
    raise UserError(f"{file}: holds no state dict called {shown([key])}: {there}")


def several(names: list[str], file: Path) -> UserError:
    """The error for a file of several networks."""
    return UserError(
        f"{file}: holds {len(names)} networks ({shown(names)}): say which with --key, "
        f"`thirtytwo import {file} --key {shown(names[:1])}`, or save it alone"
    )


def _beside(saved: object, path: str, tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """What is not taken: beside the containers that ``path`` leads through, and in the last of them."""
    inside, way = _items(saved), ""
    while inside and way != path:
        step = max((name for name in inside if f"{path}.".startswith(f"{way}{name}.")), key=len, default=None)
        yield from (f"{way}{name}" for name in inside if name != step)
        if step is None:
            return
        way = f"{way}{step}"
        inside, way = _items(inside[step]), way if way == path else f"{way}."
    yield from (f"{way}.{name}" for name in inside if name not in tensors)


def shown(names: Mapping[str, object] | list[str], most: int = 6) -> str:
    """A few names from a file in one line: printable, and cut where they are long."""
    plain = ["".join(c if c.isprintable() else "?" for c in name[:60]) or "the whole" for name in [*names][:most]]
    return ", ".join(plain) + (f" and {len(names) - most} more" if len(names) > most else "")
