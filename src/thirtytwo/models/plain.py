"""Small plain networks: the first ones to look at, and the fastest to train on small grey images."""

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from thirtytwo.models import models
from thirtytwo.models.classifier import evaluating

Width = Annotated[int, Field(ge=1, le=100_000)]
Share = Annotated[float, Field(ge=0, lt=1)]


@models.register
def cnn2(
    channels: int, classes: int, size: tuple[int, int], *, width: Width = 32, pools: Literal[1, 2] = 1
) -> nn.Module:
    """Two 3x3 convolutions, one or two max-pools, one linear layer.

    Convolutions keep the image's size, and each is followed by ReLU. Needs images of at least 2 x 2 pixels, with two
    pools 4 x 4. 14,698 parameters for 10 classes of grey 8 x 8 images.

    Args:
        channels: of the images.
        classes: number of classes.
        size: (height, width) of the images.
        width: filters of each convolution.
        pools: 2x2 max-pools: 1, after both convolutions, or 2, one after each.
    """
    features = nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.ReLU(),
        *[nn.MaxPool2d(2)] * (pools - 1),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )
    return nn.Sequential(*features, nn.Linear(_outputs(features, channels, size), classes))


@models.register
def lenet(channels: int, classes: int, size: tuple[int, int]) -> nn.Module:
    """LeNet-5 (LeCun et al. 1998) as it is used today: ReLU, max-pools, a plain linear output.

    The original has tanh, trained average pools, a partial connection table and radial basis outputs. The first
    linear layer takes what remains of any image of at least 16 x 16 pixels. 61,706 parameters for 10 classes of grey
    32 x 32 images.
    """
    features = nn.Sequential(
        nn.Conv2d(channels, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )
    return nn.Sequential(
        *features,
        nn.Linear(_outputs(features, channels, size), 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, classes),
    )


@models.register
def vgg8(
    channels: int,
    classes: int,
    size: tuple[int, int],
    *,
    widths: tuple[Width, Width, Width, Width] = (64, 128, 256, 256),
    hidden: Width = 256,
    dropout: Share = 0.1,
) -> nn.Module:
    """Eight 3x3 convolutions in pairs, in the manner of VGG (Simonyan and Zisserman 2014), with batch norm.

    Each convolution is followed by batch norm and ReLU, each pair by dropout and a 2x2 max-pool; then two linear
    layers and log-softmax, whose matching loss, the negative log-likelihood, is what cross-entropy computes from
    log-probabilities. Needs images of at least 16 x 16 pixels.

    Args:
        channels: of the images.
        classes: number of classes.
        size: (height, width) of the images.
        widths: filters of the convolutions of each pair.
        hidden: outputs of the first linear layer.
        dropout: share of the channels that are dropped after each pair, and of the hidden layer's outputs.
    """
    features = nn.Sequential(*_pairs(channels, widths, dropout), nn.Flatten())
    return nn.Sequential(
        *features,
        nn.Linear(_outputs(features, channels, size), hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, classes),
        nn.LogSoftmax(dim=1),
    )


@models.register
def cnn9(
    channels: int,
    classes: int,
    size: tuple[int, int],
    *,
    widths: tuple[Width, Width, Width] = (64, 128, 256),
    hidden: tuple[Width, Width] = (256, 128),
) -> nn.Module:
    """Nine layers: six 3x3 convolutions in pairs, which see 5 x 5 pixels as one 5x5 convolution does, and three linear.

    Each convolution is followed by batch norm and ReLU, each pair by a 2x2 max-pool. Needs images of at least 8 x 8
    pixels.

    Args:
        channels: of the images.
        classes: number of classes.
        size: (height, width) of the images.
        widths: filters of the convolutions of each pair.
        hidden: outputs of the first two linear layers.
    """
    features = nn.Sequential(*_pairs(channels, widths), nn.Flatten())
    first, second = hidden
    return nn.Sequential(
        *features,
        nn.Linear(_outputs(features, channels, size), first),
        nn.ReLU(),
        nn.Linear(first, second),
        nn.ReLU(),
        nn.Linear(second, classes),
    )


def _pairs(channels: int, widths: tuple[int, ...], dropout: float = 0.0) -> Iterator[nn.Module]:
    """Two same-padded 3x3 convolutions with batch norm and ReLU for each width, then dropout and a 2x2 max-pool."""
    for width in widths:
        for inputs in (channels, width):
            # Batch norm subtracts the mean, so a bias before it would have no effect.
            yield from (nn.Conv2d(inputs, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        if dropout:
            yield nn.Dropout2d(dropout)
        yield nn.MaxPool2d(2)
        channels = width


@torch.no_grad()
def _outputs(features: nn.Module, channels: int, size: tuple[int, int]) -> int:
    with evaluating(features):  # one black image must not count towards batch norm's statistics
        return len(features(torch.zeros(1, channels, *size))[0])
