"""Augmentations that mix two images and, in the same proportion, their targets."""

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from thirtytwo.augment import Batch, augmentations
from thirtytwo.augment.boxes import Boxes, boxes_around_pixels
from thirtytwo.augment.draws import Draws
from thirtytwo.augment.settings import Checked, Share

Alpha = Annotated[float, Field(ge=0.01, le=1000)]


def blend_batch(batch: Batch, partner: Tensor, own: Tensor) -> Batch:
    """Images and targets mixed: a share ``own`` of themselves and ``1 - own`` of their partners.

    Args:
        batch: whose images and targets are mixed.
        partner: int64 (B,), positions in the batch.
        own: float32 (B,) in 0..1.
    """
    images = torch.lerp(batch.images[partner], batch.images, own[:, None, None, None])
    targets = torch.lerp(batch.targets[partner], batch.targets, own[:, None])
    return replace(batch, images=images.clamp_(0, 1), targets=targets)


def paste_batch(batch: Batch, partner: Tensor, boxes: Boxes) -> Batch:
    """Each image's box shows its partner's pixels; the targets are mixed by the exact share of the area.

    Args:
        batch: whose images and targets are mixed.
        partner: int64 (B,), positions in the batch.
        boxes: where each image shows its partner.
    """
    height, width = batch.images.shape[-2:]
    images = torch.where(boxes.mask(height, width), batch.images[partner], batch.images)
    own = 1 - boxes.area / (height * width)
    return replace(batch, images=images, targets=torch.lerp(batch.targets[partner], batch.targets, own[:, None]))


@augmentations.register_as("mixup")
@dataclass(frozen=True)
class Mixup(Checked):
    """Blend each image with another of the batch, and their targets likewise.

    Zhang et al., arXiv 1710.09412; the proportion is drawn from Beta(alpha, alpha) for each image.

    Args:
        alpha: small values leave most images nearly unchanged, 1 makes every proportion equally likely, large values
            blend half and half.
        p: share of the images that are blended.
    """

    alpha: Alpha = 0.2
    p: Share = 1.0

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The batch with images and targets blended."""
        draw = Draws.of(batch, generator)
        own = torch.where(draw.chance(self.p), draw.beta(self.alpha), 1)
        return blend_batch(batch, draw.partners(), own)


@augmentations.register_as("cutmix")
@dataclass(frozen=True)
class Cutmix(Checked):
    """Paste in a rectangle from another image of the batch, and mix the targets by its share of the area.

    Yun et al., arXiv 1905.04899: the rectangle's share of the area is drawn from Beta(alpha, alpha), its centre is
    any pixel, and what falls outside is cut off. The authors use p=0.5 on CIFAR.

    Args:
        alpha: 1 makes every area equally likely.
        p: share of the images that a rectangle is pasted into.
    """

    alpha: Alpha = 1.0
    p: Share = 1.0

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The batch with rectangles pasted in and targets mixed."""
        draw = Draws.of(batch, generator)
        height, width = batch.images.shape[-2:]
        side = torch.where(draw.chance(self.p), draw.beta(self.alpha).sqrt(), 0)
        boxes = boxes_around_pixels(draw, height, width, (side * height).long(), (side * width).long())
        return paste_batch(batch, draw.partners(), boxes)
