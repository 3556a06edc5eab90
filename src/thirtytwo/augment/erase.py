"""Augmentations that hide a part of each image."""

from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from thirtytwo.augment import augmentations
from thirtytwo.augment.boxes import Boxes, boxes_around_pixels, boxes_of_share
from thirtytwo.augment.draws import Draws, ImageAugmentation, choose
from thirtytwo.augment.settings import Bounds, Parts, Pixels, Share


def erase_images(images: Tensor, boxes: Boxes, fill: Tensor) -> Tensor:
    """Each image's box filled with ``fill``, which broadcasts with ``images`` (B, C, H, W)."""
    return torch.where(boxes.mask(*images.shape[-2:]), fill, images)


@augmentations.register_as("cutout")
@dataclass(frozen=True)
class Cutout(ImageAugmentation):
    """Hide a square around a random pixel, partly outside the image if the pixel is near an edge.

    DeVries and Taylor, arXiv 1708.04552. They fill with the data set's mean; this fills with the batch's mean
    colour, which is the same up to sampling noise.

    Args:
        size: side of the square, in pixels.
    """

    size: Pixels = 8

    @override
    def change(self, images: Tensor, draw: Draws) -> Tensor:
        height, width = images.shape[-2:]
        side = torch.full((draw.count,), self.size, device=draw.device)
        boxes = boxes_around_pixels(draw, height, width, side, side)
        return erase_images(images, boxes, images.mean((0, 2, 3), keepdim=True))


@augmentations.register_as("random_erasing")
@dataclass(frozen=True)
class RandomErasing(ImageAugmentation):
    """Replace a random rectangle with random pixels.

    Zhong et al., arXiv 1708.04896.

    Args:
        p: share of the images that are changed.
        scale: bounds of the rectangle's share of the image's area.
        ratio: bounds of its width over its height.
    """

    p: Share = 0.5
    scale: Parts = (0.02, 0.33)
    ratio: Bounds = (0.3, 3.3)

    @override
    def change(self, images: Tensor, draw: Draws) -> Tensor:
        height, width = images.shape[-2:]
        boxes = boxes_of_share(draw, height, width, self.scale, self.ratio)
        erased = erase_images(images, boxes, draw.uniform(0, 1, *images.shape[1:]))
        return choose(draw.chance(self.p), erased, images)
