"""Policies: random choices, image by image, among fourteen operations.

RandAugment and TrivialAugment choose from the same operations and differ in how strong these are. The operations
and their strengths are torchvision's, which follow the papers, except that interpolation is bilinear and that
posterising and solarising are torchvision's for float images.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from thirtytwo.augment import augmentations
from thirtytwo.augment.colour import (
    adjust_brightness,
    adjust_contrast,
    adjust_saturation,
    adjust_sharpness,
    autocontrast_images,
    equalise_images,
    posterise_images,
    solarise_images,
)
from thirtytwo.augment.draws import Draws, ImageAugmentation
from thirtytwo.augment.geometry import rotate_images, warp_images

STRONGEST = 30
"""Magnitudes run from 0 to this, as in both papers."""


@dataclass(frozen=True)
class Operation:
    """One operation of a policy.

    Attributes:
        apply: (images (B, C, H, W), strength float32 (B,)) -> images.
        strongest: the strength at the largest magnitude.
        weakest: the strength at magnitude 0; between the two it is linear.
        signed: whether half of the images get the opposite strength.
    """

    apply: Callable[[Tensor, Tensor], Tensor]
    strongest: float = 0.0
    weakest: float = 0.0
    signed: bool = False

    def strength(self, magnitude: Tensor) -> Tensor:
        """float32 (B,), without its sign, for ``magnitude``, int64 (B,) in 0..30."""
        return self.weakest + magnitude * (self.strongest - self.weakest) / STRONGEST


def shear_x_images(images: Tensor, slope: Tensor) -> Tensor:
    """Row y shows what was slope * y pixels to the right, ``slope`` float32 (B,); the top edge stays."""
    return _shift_and_shear(images, 0, slope, slope * (images.shape[-2] / 2))


def shear_y_images(images: Tensor, slope: Tensor) -> Tensor:
    """Column x shows what was slope * x pixels lower, ``slope`` float32 (B,); the left edge stays."""
    return _shift_and_shear(images, 1, slope, slope * (images.shape[-1] / 2))


def translate_x_images(images: Tensor, pixels: Tensor) -> Tensor:
    """Moved to the right by the integer part of ``pixels``, float32 (B,); the gap is black."""
    return _shift_and_shear(images, 0, torch.zeros_like(pixels), -pixels.trunc())


def translate_y_images(images: Tensor, pixels: Tensor) -> Tensor:
    """Moved down by the integer part of ``pixels``, float32 (B,); the gap is black."""
    return _shift_and_shear(images, 1, torch.zeros_like(pixels), -pixels.trunc())


def _shift_and_shear(images: Tensor, axis: int, slope: Tensor, shift: Tensor) -> Tensor:
    matrix = torch.eye(2, 3, device=images.device).repeat(len(images), 1, 1)
    matrix[:, axis, 1 - axis] = slope
    matrix[:, axis, 2] = shift
    return warp_images(images, matrix)


def operations(
    shear: float, shift: tuple[float, float], degrees: float, enhance: float, bits: int
) -> tuple[Operation, ...]:
    """The fourteen operations with the given maximum strengths.

    Args:
        shear: the slope.
        shift: pixels (down, right).
        degrees: the angle of rotation.
        enhance: how far the factor of brightness, saturation, contrast and sharpness is from 1.
        bits: how many of the 8 bits posterising removes.
    """
    return (
        Operation(lambda images, _: images),
        Operation(shear_x_images, shear, signed=True),
        Operation(shear_y_images, shear, signed=True),
        Operation(translate_x_images, shift[1], signed=True),
        Operation(translate_y_images, shift[0], signed=True),
        Operation(rotate_images, degrees, signed=True),
        Operation(lambda images, by: adjust_brightness(images, 1 + by), enhance, signed=True),
        Operation(lambda images, by: adjust_saturation(images, 1 + by), enhance, signed=True),
        Operation(lambda images, by: adjust_contrast(images, 1 + by), enhance, signed=True),
        Operation(lambda images, by: adjust_sharpness(images, 1 + by), enhance, signed=True),
        Operation(lambda images, by: posterise_images(images, by.round()), 8.0 - bits, weakest=8.0),
        Operation(solarise_images, 0.0, weakest=1.0),
        Operation(lambda images, _: autocontrast_images(images)),
        Operation(lambda images, _: equalise_images(images)),
    )


def apply_operations(
    images: Tensor, choices: Sequence[Operation], choice: Tensor, sign: Tensor, magnitude: Tensor
) -> Tensor:
    """Each image after the operation that it drew, computed for all images of one operation at once.

    Args:
        images: float32 (B, C, H, W).
        choices: the operations.
        choice: int64 (B,), position in ``choices``.
        sign: float32 (B,), 1 or -1; used by signed operations.
        magnitude: int64 (B,), 0..30.
    """
    changed = images.clone()
    groups = torch.split(choice.argsort(stable=True), choice.bincount(minlength=len(choices)).tolist())
    for operation, group in zip(choices, groups, strict=True):
        if len(group):
            strength = operation.strength(magnitude[group])
            strength = strength * sign[group] if operation.signed else strength
            changed[group] = operation.apply(images[group], strength)
    return changed


@augmentations.register_as("randaugment")
@dataclass(frozen=True)
class RandAugment(ImageAugmentation):
    """`n` operations per image, drawn from fourteen, all of the same magnitude.

    Cubuk et al., arXiv 1909.13719.

    Args:
        n: how many operations are applied, one after the other.
        magnitude: 0 (weakest) to 30.
    """

    n: Annotated[int, Field(ge=0, le=14)] = 2
    magnitude: Annotated[int, Field(ge=0, le=STRONGEST)] = 9

    @override
    def change(self, images: Tensor, draw: Draws) -> Tensor:
        height, width = images.shape[-2:]
        # 150 of 331 pixels in AutoAugment's search on ImageNet.
        choices = operations(shear=0.3, shift=(150 / 331 * height, 150 / 331 * width), degrees=30, enhance=0.9, bits=4)
        magnitude = torch.full((draw.count,), self.magnitude, device=draw.device)
        for _ in range(self.n):
            images = apply_operations(images, choices, *_choice(draw, choices), magnitude)
        return images


@augmentations.register_as("trivialaugment")
@dataclass(frozen=True)
class TrivialAugment(ImageAugmentation):
    """One operation per image, drawn from fourteen, of a random magnitude. Nothing to tune.

    Müller and Hutter, arXiv 2103.10158, their "wide" space. Its shifts of up to 32 pixels are cut to the image's size.
    """

    @override
    def change(self, images: Tensor, draw: Draws) -> Tensor:
        height, width = images.shape[-2:]
        choices = operations(shear=0.99, shift=(min(32, height), min(32, width)), degrees=135, enhance=0.99, bits=6)
        return apply_operations(images, choices, *_choice(draw, choices), draw.integers(0, STRONGEST))


def _choice(draw: Draws, choices: Sequence[Operation]) -> tuple[Tensor, Tensor]:
    """An operation and a sign for each image."""
    return draw.integers(0, len(choices) - 1), 1 - 2 * draw.chance(0.5).float()
