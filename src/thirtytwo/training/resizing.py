"""Progressive resizing: at the start of a training images are smaller, where a step costs less.

What is learned first, colours and coarse shapes, is there in small images, too. Howard's entry in DAWNBench (2018) made
it known.
"""

from bisect import bisect_right
from itertools import pairwise
from math import ceil

from torch import Tensor, channels_last
from torch.nn.functional import interpolate

GROWTH = 1 / 8
"""By how much of their own side images grow at a time, at most: four pixels of 32."""


class Resizing:
    """The images' size over the course of a training.

    Args:
        start: their sides at the start, as a share of their own, above 0; 1 leaves them as they are.
        full_from: the share of the training, in (0, 1), from which they have their own size. Until then their sides
            grow in equal steps of `GROWTH` or less, each after the same time.

    >>> from thirtytwo.training.resizing import Resizing
    >>> growing = Resizing(0.5, full_from=0.8)
    >>> [growing.scale(progress) for progress in (0.1, 0.3, 0.5, 0.7, 0.9)]
    [0.5, 0.625, 0.75, 0.875, 1.0]
    """

    def __init__(self, start: float, full_from: float) -> None:
        sizes = ceil((1 - start) / GROWTH - 1e-9)
        self._scales = [*(start + (1 - start) * k / sizes for k in range(sizes)), 1.0]
        self._from = [*(full_from * k / sizes for k in range(sizes)), full_from if sizes else 0.0]

    def scale(self, progress: float) -> float:
        """The images' sides, as a share of their own, at ``progress`` in [0, 1)."""
        return self._scales[bisect_right(self._from, progress) - 1]

    def work(self, progress: float) -> float:
        """The pixels shown until ``progress`` in [0, 1], as a share of those of a training without resizing."""
        stages = zip(pairwise([*self._from, 1.0]), self._scales, strict=True)
        return sum(scale**2 * max(0.0, min(progress, end) - start) for (start, end), scale in stages)

    def __call__(self, images: Tensor, progress: float) -> Tensor:
        """Images, float32 (B, C, H, W), as they are shown at ``progress``: smaller, antialiased, channels_last."""
        scale = self.scale(progress)
        if scale == 1:
            return images
        size = [max(1, round(scale * side)) for side in images.shape[-2:]]
        smaller = interpolate(images, size=size, mode="bilinear", antialias=True)
        return smaller.contiguous(memory_format=channels_last)
