"""A network with its normalisation, and building a network that fits the images."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from thirtytwo.errors import UserError
from thirtytwo.models import models


class Classifier(nn.Module):
    """A network that takes images as they are: normalisation is part of the model and of its weights file.

    Args:
        network: normalised images (B, C, H, W) -> logits (B, K).
        mean: (C,), channel means of the training images, in 0..1, or what pretrained weights expect. With three of them
            a grey image becomes RGB.
        std: (C,), their standard deviations. A channel that never varies (0) is not scaled.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean.float())
        self.register_buffer("std", torch.where(std > 0, std, 1).float())

    def normalise(self, images: Tensor) -> Tensor:
        """Images in 0..1, float (B, C, H, W), with mean 0 and standard deviation 1 over the training images."""
        return (images - self.mean[:, None, None]) / self.std[:, None, None]

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K) of images in 0..1, float (B, C, H, W)."""
        return self.network(self.normalise(images))


def build_network(
    spec: str, channels: int, classes: int, size: tuple[int, int], labels: tuple[str, ...] = ()
) -> nn.Module:
    """Build the model that ``spec`` names, for classes called ``labels``, and try it on a black image.

    Raises:
        UserError: unknown model or argument, images that do not fit the model, or an output that is not (B, classes).
    """
    height, width = size
    try:
        network = models.build(spec, channels=channels, classes=classes, size=size, labels=labels)
        with evaluating(network), torch.no_grad():
            logits = network(torch.zeros(1, channels_of(network, channels), *size))
    except (RuntimeError, ValueError, AssertionError) as error:
        if "allocate" in str(error) or isinstance(error, torch.OutOfMemoryError):
            raise UserError(f"model '{spec}' needs more memory than there is: make it smaller") from None
        remedy = "set data.size=32" if min(size) < 32 else "choose another data.size or another model"
        if "/" in spec.partition("(")[0] and not spec.startswith("run:"):
            remedy = "let it see larger images, such as input=224"
        reason = str(error).partition("\n")[0].rstrip(". ")
        raise UserError(
            f"model '{spec}' does not fit images of {height} x {width} pixels with {channels} channel"
            f"{'s' if channels > 1 else ''}: {remedy} ({reason})"
        ) from error
    if logits.shape != (1, classes):
        raise UserError(
            f"model '{spec}' gives an output of shape {tuple(logits.shape)} for one image, "
            f"not (1, {classes}): it must return logits (B, classes)"
        )
    return network


def channels_of(network: nn.Module, channels: int) -> int:
    """Channels of the normalised images that ``network`` is given, where the images themselves have ``channels``."""
    said = getattr(network, "normalisation", None)
    return channels if said is None else len(said[0])


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Every submodule in eval mode, and afterwards in the mode that it had."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
