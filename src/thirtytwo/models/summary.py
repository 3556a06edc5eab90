"""What a network consists of: layers, shapes, parameters and operations."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thirtytwo.models.classifier import evaluating
from thirtytwo.models.network import Network


@dataclass(frozen=True)
class Row:
    """A layer: a module without submodules, or one that holds parameters of its own.

    Attributes:
        name: dotted, as in ``named_parameters``.
        type: the module's class.
        output: shape of its output for one image, without the batch dimension; None if it was not run.
        parameters: numbers that it holds itself.
        trainable: how many of them are trained.
        mflop: million operations of one image's forward pass; a multiplication and its addition count as two.
    """

    name: str
    type: str
    output: tuple[int, ...] | None
    parameters: int
    trainable: int
    mflop: float


@dataclass(frozen=True)
class Summary:
    """A network's layers, in the order in which they run, and their totals.

    Attributes:
        rows: the layers.
        parameters: numbers in all parameters, shared ones counted once.
        trainable: how many of them are trained.
        mflop: million operations of one image's forward pass in convolutions and matrix products, where
            a multiplication and its addition count as two. Norms, activations and pools are left out.
        parameter_bytes: memory of parameters and buffers.
        activation_bytes: memory of one image's layer outputs in float32, most of which a training step keeps.
    """

    rows: tuple[Row, ...]
    parameters: int
    trainable: int
    mflop: float
    parameter_bytes: int
    activation_bytes: int


def summarise(network: Network, channels: int, size: tuple[int, int]) -> Summary:
    """Describe ``network`` by one forward pass of a black image of ``channels`` and ``size`` (H, W) in eval mode.

    Weights, buffers, modes and random generators stay as they are.
    """
    whole = network.module
    modules = {name: module for name, module in whole.named_modules() if _is_layer(module)}
    names = {module: name for name, module in modules.items()}
    from torch.utils.flop_counter import FlopCounterMode  # imports triton, which takes 0.4 s

    outputs: dict[str, tuple[int, ...]] = {}

    def note(module: nn.Module, _: tuple[object, ...], output: object) -> None:
        if isinstance(output, Tensor):
            outputs.setdefault(names[module], tuple(output.shape[1:]))

    hooks = [module.register_forward_hook(note) for module in modules.values()]
    device = next((parameter.device for parameter in whole.parameters()), torch.device("cpu"))
    counter = FlopCounterMode(display=False)
    try:
        with evaluating(whole), torch.no_grad(), counter:
            whole(torch.zeros(1, network.channels(channels), *size, device=device))
    finally:
        for hook in hooks:
            hook.remove()
    flops = {name: sum(counts.values()) for name, counts in counter.get_flop_counts().items()}
    root = type(whole).__name__

    def row(name: str) -> Row:
        own = list(modules[name].parameters(recurse=False))
        return Row(
            name=name,
            type=type(modules[name]).__name__.lstrip("_"),
            output=outputs.get(name),
            parameters=_count(own),
            trainable=_count([parameter for parameter in own if parameter.requires_grad]),
            mflop=flops.get(f"{root}.{name}" if name else root, 0) / 1e6,
        )

    parameters = list(whole.parameters())
    return Summary(
        rows=tuple(row(name) for name in [*outputs, *(name for name in modules if name not in outputs)]),
        parameters=_count(parameters),
        trainable=_count([parameter for parameter in parameters if parameter.requires_grad]),
        mflop=counter.get_total_flops() / 1e6,
        parameter_bytes=sum(tensor.numel() * tensor.element_size() for tensor in whole.state_dict().values()),
        activation_bytes=sum(4 * torch.Size(shape).numel() for shape in outputs.values()),
    )


def _is_layer(module: nn.Module) -> bool:
    return not any(module.children()) or any(True for _ in module.parameters(recurse=False))


def _count(parameters: list[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
