"""How much memory a network takes, found out without taking it: on PyTorch's meta device, tensors have shapes alone."""

import copy
from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor, nn

from thirtytwo import memory
from thirtytwo.models.network import Network
from thirtytwo.words import plural

COPIES = 3
"""Of the weights: as they are, as they are loaded or as gradients, and in the optimizer."""
LEAST = 4 / 3
"""Bytes that a number of a layer's output takes at least: of a convolution, a norm and ReLU, two are kept, in bf16."""


def sketch(make: Callable[[], nn.Module | Network]) -> Network | None:
    """What ``make`` makes, as shapes alone; its draws leave no trace. None if it cannot be made without numbers."""
    beyond = suppress(RuntimeError, TypeError, ValueError, NotImplementedError)
    with beyond, torch.random.fork_rng(devices=[]), torch.device("meta"):
        return Network.of(make())
    return None


def require_weights(network: Network, what: str) -> None:
    """Raises UserError if the weights do not fit in memory."""
    tensors = network.module.state_dict().values()
    needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    memory.require(COPIES * needed, f"{what} needs", "make it smaller")


def require_outputs(network: Network, shape: tuple[int, ...], what: str) -> None:
    """Raises UserError if the layers' outputs for images of ``shape``, (B, C, H, W), do not fit in memory."""
    numbers = 0

    def count(module: nn.Module, given: object, output: object) -> None:
        nonlocal numbers
        numbers += output.numel() if isinstance(output, Tensor) else 0

    # A network whose course depends on the pixels cannot run without them: then nothing is known before it is tried.
    with suppress(RuntimeError, TypeError, ValueError, NotImplementedError), torch.no_grad():
        module = _without_numbers(network.module).eval()
        for leaf in module.modules():
            if not any(leaf.children()):
                leaf.register_forward_hook(count)
        module(torch.zeros(1, *shape[1:], device="meta"))
    memory.require(
        shape[0] * LEAST * numbers,
        f"{what} with {plural(shape[0], 'image')} at once needs",
        "make it, the images or train.batch_size smaller",
    )


def _without_numbers(module: nn.Module) -> nn.Module:
    """A copy with shapes in place of parameters and buffers: a network may keep what it computed, as CoaT does."""
    tensors = [*module.parameters(), *module.buffers()]
    as_shapes = {id(tensor): tensor.detach().to("meta") for tensor in tensors}
    parameters = {id(each): nn.Parameter(as_shapes[id(each)], each.requires_grad) for each in module.parameters()}
    return copy.deepcopy(module, {**as_shapes, **parameters})
