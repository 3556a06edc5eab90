"""A network with its normalisation, and building a network that fits the images."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from thirtytwo.errors import UserError
from thirtytwo.models import models
from thirtytwo.models.footprint import require_outputs, require_weights, sketch
from thirtytwo.models.network import Network
from thirtytwo.spec import Spec
from thirtytwo.words import plural


class Classifier(nn.Module):
    """A network that takes images as they are: normalisation is part of the model and of its weights file.

    Args:
        network: maps normalised images (B, C, H, W) to logits (B, K).
        mean: (C,), channel means of the training images, in 0..1, or what pretrained weights expect. If there are
            three, a grey image becomes RGB.
        std: (C,), their standard deviations. A channel that never varies (0) is not scaled.

    Attributes:
        network: the module alone, whose name prefixes its weights (``network.0.weight``).
        described: the network that it belongs to. A deep copy describes its own module.

    >>> import torch, thirtytwo
    >>> run = thirtytwo.train("digits-cnn", epochs=1, model="cnn2(width=2)", progress=False)
    >>> isinstance(run.model, thirtytwo.Classifier), run.model(torch.rand(5, 1, 8, 8)).shape
    (True, torch.Size([5, 10]))
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: Network, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.network = network.module
        self.described = network
        self.register_buffer("mean", mean.float())
        self.register_buffer("std", torch.where(std > 0, std, 1).float())

    def normalise(self, images: Tensor) -> Tensor:
        """Images in 0..1, float (B, C, H, W), with mean 0 and standard deviation 1 over the training images."""
        return (images - self.mean[:, None, None]) / self.std[:, None, None]

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K) of images in 0..1, float (B, C, H, W)."""
        logits: Tensor = self.network(self.normalise(images))
        return logits


def build_network(
    spec: str, channels: int, classes: int, size: tuple[int, int], labels: tuple[str, ...] = (), batch: int = 1
) -> Network:
    """Build the model that ``spec`` names, for classes called ``labels``, and test it on a black image.

    Before it is built, it is made sure that its weights fit in memory, and its outputs for ``batch`` images.

    Raises:
        UserError: unknown model or argument, images that do not fit the model, or an output that is not (B, classes).
    """
    height, width = size
    make = partial(models.build, spec, channels=channels, classes=classes, size=size, labels=labels)
    try:
        # What has a prefix was built before, by others; to make it twice would be to read its weights twice.
        outline = None if Spec.parse(spec).prefix else sketch(make)
        if outline:
            require_weights(outline, f"model '{spec}'")
            require_outputs(outline, (batch, channels, *size), f"model '{spec}'")
        network = Network.of(make())
        if not outline:
            require_outputs(network, (batch, network.channels(channels), *size), f"model '{spec}'")
        with evaluating(network.module), torch.no_grad():
            logits = network.module(torch.zeros(1, network.channels(channels), *size))
    except UserError:
        raise
    except (RuntimeError, ValueError, AssertionError) as error:
        if "allocate" in str(error) or isinstance(error, torch.OutOfMemoryError):
            raise UserError(f"model '{spec}' needs more memory than is available: make it smaller") from None
        remedy = "set data.size=32" if min(size) < 32 else "choose another data.size or another model"
        if Spec.parse(spec).foreign:
            remedy = "let it see larger images, such as input=224"
        raise UserError(
            f"model '{spec}' does not fit images of {height} x {width} pixels with "
            f"{plural(channels, 'channel')}: {remedy} ({_first_line(error)})"
        ) from error
    except Exception as error:  # a network of the user's own may raise anything
        raise UserError(
            f"model '{spec}' failed on a black image ({type(error).__name__}: {_first_line(error)})"
        ) from error
    require_logits(logits, 1, classes, f"model '{spec}'")
    return network


def require_logits(found: object, images: int, classes: int, what: str) -> None:
    """Raise UserError, which begins with ``what``, unless a network returned logits (B, K) for its images."""
    if not isinstance(found, Tensor):
        raise UserError(f"{what} returns {type(found).__name__}, not a tensor: it must return logits (B, classes)")
    if found.shape != (images, classes):
        raise UserError(
            f"{what} returns an output of shape {tuple(found.shape)} for {plural(images, 'image')}, "
            f"not ({images}, {classes}): it must return logits (B, classes)"
        )
    if not found.is_floating_point():
        raise UserError(f"{what} returns {found.dtype}: it must return logits, which are float")


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0].rstrip(". ")


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put every submodule in eval mode, and afterwards back in its previous mode."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
