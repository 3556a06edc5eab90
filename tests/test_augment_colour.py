"""Changing colours a batch at a time equals torchvision's functions an image at a time."""

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as reference

from augment_batches import batch_of, digits, photographs, seeded
from thirtytwo.augment import augmentations
from thirtytwo.augment.colour import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    adjust_sharpness,
    autocontrast_images,
    blur_images,
    equalise_images,
    greyscale_images,
    posterise_images,
    solarise_images,
)
from thirtytwo.augment.draws import Draws

PLAIN = torch.tensor([0.0, 0.25, 1.0])[:, None, None, None].expand(3, 3, 16, 16)
NOISE = torch.rand(20, 3, 16, 20, generator=seeded())
IMAGES = {
    "digits": digits(),
    "photographs": photographs(),
    "wide": photographs(24, 40),
    "one": photographs()[:1],
    "plain": PLAIN,
    "noise": NOISE,
}
every_image = pytest.mark.parametrize("images", IMAGES.values(), ids=IMAGES.keys())

# Single precision in another order of operations.
ROUNDED = {"rtol": 0, "atol": 2e-6}


def uniform(images: Tensor, low: float, high: float) -> Tensor:
    return Draws(seeded(), len(images), images.device).uniform(low, high)


@every_image
@pytest.mark.parametrize(
    ("batched", "single", "low", "high"),
    [
        (adjust_brightness, reference.adjust_brightness, 0.0, 2.0),
        (adjust_contrast, reference.adjust_contrast, 0.0, 2.0),
        (adjust_saturation, reference.adjust_saturation, 0.0, 2.0),
        (adjust_hue, reference.adjust_hue, -0.5, 0.5),
        (adjust_sharpness, reference.adjust_sharpness, 0.0, 2.0),
        (solarise_images, reference.solarize, 0.0, 1.0),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_adjustments_are_torchvisions(images: Tensor, batched, single, low: float, high: float) -> None:
    amounts = uniform(images, low, high)
    expected = torch.stack([single(image, by) for image, by in zip(images, amounts.tolist(), strict=True)])
    torch.testing.assert_close(batched(images, amounts), expected, **ROUNDED)


@every_image
@pytest.mark.parametrize(
    ("batched", "single"),
    [(autocontrast_images, reference.autocontrast), (equalise_images, reference.equalize)],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_parameterless_changes_are_torchvisions(images: Tensor, batched, single) -> None:
    expected = torch.stack([single(image) for image in images])
    torch.testing.assert_close(batched(images), expected, **ROUNDED)


@every_image
def test_greyscale_is_torchvisions(images: Tensor) -> None:
    expected = torch.stack([reference.rgb_to_grayscale(image, images.shape[1]) for image in images])
    torch.testing.assert_close(greyscale_images(images), expected, **ROUNDED)


@every_image
def test_posterising_is_torchvisions(images: Tensor) -> None:
    bits = torch.arange(len(images)) % 9
    expected = torch.stack([reference.posterize(image, by) for image, by in zip(images, bits.tolist(), strict=True)])
    assert torch.equal(posterise_images(images, bits), expected)


@every_image
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_blur_is_torchvisions(images: Tensor, kernel: int) -> None:
    sigma = uniform(images, 0.1, 3.0)
    expected = torch.stack(
        [reference.gaussian_blur(image, kernel, by) for image, by in zip(images, sigma.tolist(), strict=True)]
    )
    torch.testing.assert_close(blur_images(images, sigma, kernel), expected, **ROUNDED)


@pytest.mark.parametrize("name", ["saturation", "hue", "greyscale(1)"])
def test_grey_images_have_no_colour_to_change(name: str) -> None:
    assert torch.equal(augmentations.build(name)(batch_of(digits()), seeded()).images, digits())


@pytest.mark.parametrize("name", ["brightness(0)", "contrast(0)", "saturation(0)", "sharpness(0)", "noise(0)"])
def test_no_amount_is_identity(name: str) -> None:
    assert torch.equal(augmentations.build(name)(batch_of(photographs()), seeded()).images, photographs())


def test_turning_hues_all_the_way_round_changes_nothing() -> None:
    images = photographs()
    half = torch.full((len(images),), 0.5)
    torch.testing.assert_close(adjust_hue(adjust_hue(images, half), half), images, **ROUNDED)


def test_noise_has_the_standard_deviation_that_was_asked_for() -> None:
    grey = torch.full((64, 3, 32, 32), 0.5)
    noise = augmentations.build("noise(0.05)")(batch_of(grey), seeded()).images - grey
    # 196,608 draws: five standard deviations of the mean are 5.6e-4, of the deviation 4e-4.
    assert abs(noise.mean().item()) < 5.6e-4
    assert abs(noise.std().item() - 0.05) < 4e-4
    assert noise[:, 0].ne(noise[:, 1]).any()


def test_tiny_images_are_not_sharpened() -> None:
    image = photographs()[:, :, :2, :2]
    assert torch.equal(adjust_sharpness(image, uniform(image, 0, 2)), image)
