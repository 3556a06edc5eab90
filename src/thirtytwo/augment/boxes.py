"""One box per image: what is cropped, erased or pasted."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from thirtytwo.augment.draws import Draws

_TRIES = 10


@dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes in whole pixels, inside their images. Each field is int64 (B,)."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor

    @property
    def area(self) -> Tensor:
        """int64 (B,), pixels inside."""
        return self.height * self.width

    def mask(self, height: int, width: int) -> Tensor:
        """Boolean (B, 1, height, width), true inside the boxes."""
        rows = torch.arange(height, device=self.top.device) - self.top[:, None]
        columns = torch.arange(width, device=self.top.device) - self.left[:, None]
        inside_rows = (rows >= 0) & (rows < self.height[:, None])
        inside_columns = (columns >= 0) & (columns < self.width[:, None])
        return (inside_rows[:, :, None] & inside_columns[:, None, :]).unsqueeze(1)


def boxes_of_share(
    draw: Draws, height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> Boxes:
    """Boxes inside an image of ``height`` x ``width`` pixels, at any position with equal probability.

    ``scale`` bounds the share of the image's area (uniform), ``ratio`` the box's width over its height
    (log-uniform). The first of ten draws that fits is taken; if none fits, the last is clipped to the image.
    """
    area = draw.uniform(*scale, _TRIES) * (height * width)
    aspect = draw.uniform(math.log(ratio[0]), math.log(ratio[1]), _TRIES).exp()
    box_height = (area / aspect).sqrt().round().long().clamp_(min=1)
    box_width = (area * aspect).sqrt().round().long().clamp_(min=1)
    fits = (box_height <= height) & (box_width <= width)
    fits[:, -1] = True
    first = fits.byte().argmax(1, keepdim=True)
    box_height = box_height.gather(1, first).squeeze(1).clamp_(max=height)
    box_width = box_width.gather(1, first).squeeze(1).clamp_(max=width)
    return Boxes(_position(draw, height - box_height), _position(draw, width - box_width), box_height, box_width)


def boxes_around_pixels(draw: Draws, height: int, width: int, box_height: Tensor, box_width: Tensor) -> Boxes:
    """Boxes of the given sizes, int64 (B,), around a uniformly drawn pixel, clipped at the image's edge."""
    top = draw.integers(0, height - 1) - box_height // 2
    left = draw.integers(0, width - 1) - box_width // 2
    bottom, right = (top + box_height).clamp_(max=height), (left + box_width).clamp_(max=width)
    top, left = top.clamp_(min=0), left.clamp_(min=0)
    return Boxes(top, left, bottom - top, right - left)


def _position(draw: Draws, room: Tensor) -> Tensor:
    """int64 (B,), uniform over 0 to ``room``, inclusive."""
    return torch.minimum((draw.uniform(0, 1) * (room + 1)).long(), room)
