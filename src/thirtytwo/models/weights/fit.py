"""Whether tensors from a file are a network's weights, and under which of its names."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from thirtytwo.errors import UserError

COUNTER = ".num_batches_tracked"
"""Batch norm's count of steps, which files from before torch 0.4.1 lack, torchvision's ResNets among them."""


def fitted(tensors: Mapping[str, Tensor], network: nn.Module, spec: str, file: Path) -> dict[str, Tensor]:
    """``tensors`` under the names that ``network`` has for them.

    A file in which no name is the network's own, but the tensors have its shapes in its order, is read in that order:
    this is how a tutorial's ``conv1.weight`` becomes a sequence's ``0.weight``. Batch norm's counters may be missing.
    Raises UserError if the file does not fit the network, which ``spec`` names, or holds numbers that are not finite.
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
