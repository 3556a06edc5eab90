"""Residual networks for small images: a 3x3 stem that keeps the image's size, and no max-pool after it."""

from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from thirtytwo.errors import UserError
from thirtytwo.models import models


@models.register
def resnet18(channels: int, classes: int) -> nn.Module:
    """ResNet-18 (He et al. 2015, arXiv 1512.03385) with the 3x3 stem. 11.17 M parameters for 10 classes."""
    from torchvision.models.resnet import BasicBlock

    return _resnet(BasicBlock, [2, 2, 2, 2], channels, classes)


@models.register
def resnet34(channels: int, classes: int) -> nn.Module:
    """ResNet-34 (He et al. 2015, arXiv 1512.03385) with the 3x3 stem. 21.28 M parameters for 10 classes."""
    from torchvision.models.resnet import BasicBlock

    return _resnet(BasicBlock, [3, 4, 6, 3], channels, classes)


@models.register
def resnet50(channels: int, classes: int) -> nn.Module:
    """ResNet-50 (He et al. 2015, arXiv 1512.03385) with the 3x3 stem. 23.52 M parameters for 10 classes."""
    from torchvision.models.resnet import Bottleneck

    return _resnet(Bottleneck, [3, 4, 6, 3], channels, classes)


def _resnet(block: Any, layers: list[int], channels: int, classes: int) -> nn.Module:
    """The network of torchvision, with its Kaiming initialisation; its 7x7 stem for 224 x 224 images is replaced."""
    from torchvision.models.resnet import ResNet

    network: nn.Module = ResNet(block, layers, num_classes=classes)
    network.conv1 = _conv3x3(channels, 64)
    network.maxpool = nn.Identity()
    return network


@models.register
def wideresnet(
    channels: int,
    classes: int,
    *,
    depth: Annotated[int, Field(ge=10, le=1000)] = 28,
    width: Annotated[int, Field(ge=1, le=1000)] = 10,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
) -> nn.Module:
    """Wide residual network WRN-depth-width (arXiv 1605.07146). WRN-28-10: 36.5 M parameters for 10 classes.

    Args:
        channels: of the images.
        classes: number of classes.
        depth: the number of convolutions counted in the name, 6 n + 4.
        width: factor on the 16, 32 and 64 filters.
        dropout: probability of dropping a value between a block's two convolutions.

    Raises:
        UserError: depth is not 6 n + 4.
    """
    blocks, rest = divmod(depth - 4, 6)
    if rest:
        raise UserError(f"wideresnet(depth={depth}): depth must be 6 n + 4, such as {depth - rest}")
    filters = [16, 16 * width, 32 * width, 64 * width]
    layers: list[nn.Module] = [_conv3x3(channels, filters[0])]
    for group in range(3):
        for block in range(blocks):
            inputs = filters[group] if block == 0 else filters[group + 1]
            stride = 2 if block == 0 and group > 0 else 1
            layers.append(_WideBlock(inputs, filters[group + 1], stride, dropout))
    head = nn.Linear(filters[3], classes)
    nn.init.zeros_(head.bias)
    norm = [nn.BatchNorm2d(filters[3]), nn.ReLU()]
    return nn.Sequential(*layers, *norm, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)


class _WideBlock(nn.Module):
    """Norm, ReLU, convolution, dropout, norm, ReLU, convolution, added to the input.

    Where the shape changes, the shortcut is a 1x1 convolution of the activated input, as in the authors' code.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = _conv3x3(inputs, outputs, stride)
        self.dropout = nn.Dropout(dropout)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = _conv3x3(outputs, outputs)
        self.shortcut = None
        if stride != 1 or inputs != outputs:
            self.shortcut = _kaiming(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.norm1(x))
        shortcut = x if self.shortcut is None else self.shortcut(activated)
        hidden = F.relu(self.norm2(self.conv1(activated)))
        added: Tensor = shortcut + self.conv2(self.dropout(hidden))
        return added


def _conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return _kaiming(nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False))


def _kaiming(conv: nn.Conv2d) -> nn.Conv2d:
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv
