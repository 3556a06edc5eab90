"""Augmentations that change the values of pixels, not their positions.

Formulas are torchvision's for float images in 0..1. Saturation, hue and greyscale leave grey images as they are.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import AfterValidator, Field
from torch import Tensor
from torch.nn.functional import pad
from typing_extensions import override

from thirtytwo.augment import augmentations
from thirtytwo.augment.draws import Draws, ImageAugmentation, choose
from thirtytwo.augment.settings import Amount, Bounds, Share
from thirtytwo.errors import UserError


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError(f"expected an odd number, not {value}")
    return value


Kernel = Annotated[int, Field(ge=1, le=63), AfterValidator(_odd)]


def luminance(images: Tensor) -> Tensor:
    """(B, 1, H, W): 0.2989 R + 0.587 G + 0.114 B; a grey image is its own luminance."""
    if images.shape[1] == 1:
        return images
    red, green, blue = torch.split(images, 1, dim=1)
    return (0.2989 * red).add_(green, alpha=0.587).add_(blue, alpha=0.114)


def _blend(other: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    """``images`` moved away from ``other`` (factor above 1) or towards it (below 1), within 0..1."""
    return torch.lerp(other, images, factor[:, None, None, None]).clamp_(0, 1)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Pixels times ``factor``, float32 (B,); 0 is black."""
    return (images * factor[:, None, None, None]).clamp_(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Distance from the image's mean luminance times ``factor``, float32 (B,); 0 is plain grey."""
    return _blend(luminance(images).mean((1, 2, 3), keepdim=True), images, factor)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Distance from the pixel's own grey times ``factor``, float32 (B,); 0 is grey."""
    return images if images.shape[1] == 1 else _blend(luminance(images), images, factor)


def adjust_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Every hue moved around the colour circle by ``turn``, float32 (B,), where 1 is the whole circle."""
    if images.shape[1] == 1:
        return images
    value, least = images.amax(1), images.amin(1)
    spread = value - least
    red, green, blue = images.unbind(1)
    # Hue in sixths of the circle: red at 0, green at 2, blue at 4.
    hue = torch.where(value == red, green - blue, torch.where(value == green, blue - red, red - green))
    hue = hue / torch.where(spread == 0, 1, spread)
    hue += torch.where(value == red, 0, torch.where(value == green, 2, 4))
    hue += 6 * turn[:, None, None]
    # Channel n of (5, 3, 1) is V - V S max(0, min(k, 4 - k, 1)), with k = (n + H) mod 6 and V S the spread.
    channels = []
    for n in (5, 3, 1):
        k = (hue + n).remainder_(6)
        channels.append(value - spread * torch.minimum(k, 4 - k).clamp_(0, 1))
    return torch.stack(channels, dim=1)


def greyscale_images(images: Tensor) -> Tensor:
    """Every channel replaced by the luminance."""
    return luminance(images).expand_as(images)


def blur_images(images: Tensor, sigma: Tensor, kernel: int) -> Tensor:
    """Gaussian blur of ``kernel`` x ``kernel`` pixels with ``sigma`` pixels, float32 (B,); edges are reflected.

    Raises UserError where an image is too small for the kernel's reflection.
    """
    height, width = images.shape[-2:]
    radius = kernel // 2
    if radius >= min(height, width):
        raise UserError(f"blur: kernel={kernel} is too wide for images of {height} x {width} pixels: use a smaller one")
    offsets = torch.arange(-radius, radius + 1, device=images.device)
    weights = torch.softmax(-((offsets / sigma[:, None]) ** 2) / 2, dim=1)[:, None, None, None, :]
    padded = pad(images, [radius] * 4, mode="reflect")
    columns = weights[..., 0] * padded[:, :, :height]
    for i in range(1, kernel):
        columns.addcmul_(weights[..., i], padded[:, :, i : i + height])
    blurred = weights[..., 0] * columns[..., :width]
    for i in range(1, kernel):
        blurred.addcmul_(weights[..., i], columns[..., i : i + width])
    return blurred.clamp_(0, 1)


def adjust_sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Distance from a smoothed copy times ``factor``, float32 (B,); the outermost pixels stay as they are.

    The copy's 3 x 3 kernel has 5/13 in the middle and 1/13 around. Images of up to 2 pixels stay as they are.
    """
    if min(images.shape[-2:]) <= 2:
        return images
    sharpened = images.clone()
    inner = sharpened[..., 1:-1, 1:-1]
    rows = images[:, :, :-2] + images[:, :, 1:-1] + images[:, :, 2:]
    around = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    smooth = around.add_(inner, alpha=4).mul_(1 / 13)
    inner.copy_(_blend(smooth, inner, factor))
    return sharpened


def posterise_images(images: Tensor, bits: Tensor) -> Tensor:
    """Pixels rounded down to 2**bits levels, ``bits`` int64 (B,) in 0..8: white becomes (levels - 1) / levels."""
    levels = torch.exp2(bits.to(images.dtype))[:, None, None, None]
    return torch.minimum((images * levels).floor_(), levels - 1) / levels


def solarise_images(images: Tensor, threshold: Tensor) -> Tensor:
    """Pixels at or above ``threshold``, float32 (B,) in 0..1, inverted."""
    return torch.where(images >= threshold[:, None, None, None], 1 - images, images)


def autocontrast_images(images: Tensor) -> Tensor:
    """Each channel stretched to the full range 0..1; a channel of one value stays as it is."""
    least, most = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    plain = least == most
    stretched = (images - torch.where(plain, 0, least)) / torch.where(plain, 1, most - least)
    return stretched.clamp_(0, 1)


def equalise_images(images: Tensor) -> Tensor:
    """Each channel's grey values spread out evenly: Pillow's and torchvision's histogram equalisation.

    Pixels are first quantised to 256 levels, as both of them do, so that even an unchanged image is rounded.
    """
    count, channels, height, width = images.shape
    # As torchvision converts: 255.999 levels cut down, so that k / 255 always becomes k.
    pixels = (images * 255.999).long().reshape(count * channels, -1)
    rows = torch.arange(count * channels, device=images.device)[:, None] * 256
    histogram = torch.bincount((pixels + rows).flatten(), minlength=count * channels * 256).view(-1, 256)
    total = histogram.cumsum(1)
    brightest = pixels.amax(1, keepdim=True)
    step = (height * width - histogram.gather(1, brightest)) // 255
    table = (total - histogram + step // 2) // step.clamp(min=1)
    table = torch.where(step == 0, torch.arange(256, device=images.device), table.clamp_(0, 255))
    equal = table.gather(1, pixels).to(images.dtype).div_(255)
    return equal.reshape(images.shape)


@augmentations.register_as("brightness")
@dataclass(frozen=True)
class Brightness(ImageAugmentation):
    """Make lighter or darker, by a factor of 1 - amount to 1 + amount."""

    amount: Share = 0.2

    @override
    def change(self, images: Tensor, draw: Draws) -> Tensor:
        return adjust_brightness(images, draw.uniform(1 - self.amount, 1 + self.amount))


@augmentations.register_as("contrast")
@dataclass(frozen=True)
class Contrast(ImageAugmentation):
    """Raise or lower the contrast, by a factor of 1 - amount to 1 + amount."""

    amount: Share = 0.2

    @override
    def change(self, images: Tensor, draw: Draws) -> Tensor:
        return adjust_contrast(images, draw.uniform(1 - self.amount, 1 + self.amount))


@augmentations.register_as("saturation")
@dataclass(frozen=True)
class Saturation(ImageAugmentation):
    """Make colours stronger or paler, by a factor of 1 - amount to 1 + amount."""

    amount: Share = 0.2

    @override
    def change(self, images: Tensor, draw: Draws) -> Tensor:
        return adjust_saturation(images, draw.uniform(1 - self.amount, 1 + self.amount))


@augmentations.register_as("hue")
@dataclass(frozen=True)
class Hue(ImageAugmentation):
    """Shift all hues around the colour circle, by at most `amount` of it in either direction."""

    amount: Annotated[float, Field(ge=0, le=0.5)] = 0.05

    @override
    def change(self, images: Tensor, draw: Draws) -> Tensor:
        return adjust_hue(images, draw.uniform(-self.amount, self.amount))


@augmentations.register_as("greyscale")
@dataclass(frozen=True)
class Greyscale(ImageAugmentation):
    """Remove the colour from a share `p` of the images."""

    p: Share = 0.2

    @override
    def change(self, images: Tensor, draw: Draws) -> Tensor:
        return choose(draw.chance(self.p), greyscale_images(images), images)


@augmentations.register_as("blur")
@dataclass(frozen=True)
class Blur(ImageAugmentation):
    """Gaussian blur.

    Args:
        sigma: bounds of the Gaussian's standard deviation, in pixels.
        kernel: odd width in pixels of the window to which the Gaussian is cut off.
    """

    sigma: Bounds = (0.1, 2.0)
    kernel: Kernel = 5

    @override
    def change(self, images: Tensor, draw: Draws) -> Tensor:
        return blur_images(images, draw.uniform(*self.sigma), self.kernel)


@augmentations.register_as("noise")
@dataclass(frozen=True)
class Noise(ImageAugmentation):
    """Add Gaussian noise of standard deviation `std` to every pixel and channel; the result stays in 0..1."""

    std: Amount = 0.05

    @override
    def change(self, images: Tensor, draw: Draws) -> Tensor:
        return torch.add(images, draw.normal(*images.shape[1:]), alpha=self.std).clamp_(0, 1)


@augmentations.register_as("posterise")
@dataclass(frozen=True)
class Posterise(ImageAugmentation):
    """Keep only the first `bits` bits of each pixel, in a share `p` of the images."""

    bits: Annotated[int, Field(ge=1, le=8)] = 4
    p: Share = 0.5

    @override
    def change(self, images: Tensor, draw: Draws) -> Tensor:
        bits = torch.full((draw.count,), self.bits, device=draw.device)
        return choose(draw.chance(self.p), posterise_images(images, bits), images)


@augmentations.register_as("solarise")
@dataclass(frozen=True)
class Solarise(ImageAugmentation):
    """Invert the pixels at or above `threshold`, in a share `p` of the images."""

    threshold: Share = 0.5
    p: Share = 0.5

    @override
    def change(self, images: Tensor, draw: Draws) -> Tensor:
        threshold = torch.full((draw.count,), self.threshold, device=draw.device)
        return choose(draw.chance(self.p), solarise_images(images, threshold), images)


@augmentations.register_as("autocontrast")
@dataclass(frozen=True)
class Autocontrast(ImageAugmentation):
    """Stretch each channel to the full range 0..1, in a share `p` of the images."""

    p: Share = 0.5

    @override
    def change(self, images: Tensor, draw: Draws) -> Tensor:
        return choose(draw.chance(self.p), autocontrast_images(images), images)


@augmentations.register_as("equalise")
@dataclass(frozen=True)
class Equalise(ImageAugmentation):
    """Spread each channel's grey values out evenly, in a share `p` of the images."""

    p: Share = 0.5

    @override
    def change(self, images: Tensor, draw: Draws) -> Tensor:
        return choose(draw.chance(self.p), equalise_images(images), images)


@augmentations.register_as("sharpness")
@dataclass(frozen=True)
class Sharpness(ImageAugmentation):
    """Sharpen or soften, by a factor of 1 - amount to 1 + amount."""

    amount: Share = 0.5

    @override
    def change(self, images: Tensor, draw: Draws) -> Tensor:
        return adjust_sharpness(images, draw.uniform(1 - self.amount, 1 + self.amount))
