"""Small plain networks: the first ones to look at, and the fastest to train on small grey images."""

from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from thirtytwo.models import models


@models.register
def cnn2(channels: int, classes: int, size: tuple[int, int], *, width: Annotated[int, Field(ge=1)] = 32) -> nn.Module:
    """Two 3x3 convolutions, one max-pool, one linear layer.

    Convolutions keep the image's size, each is followed by ReLU, and the 2x2 max-pool comes after both. Needs images
    of at least 2 x 2 pixels. 14,698 parameters for 10 classes of grey 8 x 8 images.

    Args:
        width: filters of each convolution.
    """
    features = nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.ReLU(),
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
    linear layer takes what is left of any image of at least 16 x 16 pixels. 61,706 parameters for 10 classes of grey
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


@torch.no_grad()
def _outputs(features: nn.Module, channels: int, size: tuple[int, int]) -> int:
    return features(torch.zeros(1, channels, *size)).shape[1]
