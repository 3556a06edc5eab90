"""Policies: each operation is torchvision's, and each image gets the operation that it drew."""

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode, RandAugment, TrivialAugmentWide

from augment_batches import batch_of, digits, photographs, seeded
from thirtytwo.augment import augmentations
from thirtytwo.augment.draws import Draws
from thirtytwo.augment.policy import STRONGEST, Operation, apply_operations, operations

# In the order of `operations`, as torchvision calls them.
NAMES = list(RandAugment._AUGMENTATION_SPACE)
IMAGES = {"digits": digits()[:16], "photographs": photographs()[:16], "wide": photographs(40, 64, 16)}
every_image_size = pytest.mark.parametrize("images", IMAGES.values(), ids=IMAGES.keys())


def space(policy: str, height: int, width: int) -> tuple[Operation, ...]:
    if policy == "randaugment":
        return operations(0.3, (150 / 331 * height, 150 / 331 * width), 30, 0.9, 4)
    return operations(0.99, (32, 32), 135, 0.99, 6)


def torchvisions(policy: str) -> RandAugment | TrivialAugmentWide:
    make = RandAugment if policy == "randaugment" else TrivialAugmentWide
    return make(interpolation=InterpolationMode.BILINEAR)


every_operation = pytest.mark.parametrize("name", NAMES)
every_policy = pytest.mark.parametrize("policy", ["randaugment", "trivialaugment"])


@every_image_size
@every_policy
@every_operation
def test_operations_are_torchvisions(images: Tensor, policy: str, name: str) -> None:
    theirs, size = torchvisions(policy), images.shape[2:]
    operation = space(policy, *size)[NAMES.index(name)]
    magnitudes, signed = theirs._AUGMENTATION_SPACE[name]
    table = torch.zeros(STRONGEST + 1) if magnitudes(STRONGEST + 1, *size) is None else magnitudes(STRONGEST + 1, *size)
    draw = Draws(seeded(), len(images), images.device)
    strengths = table[draw.integers(0, STRONGEST)].float()
    if signed:
        strengths = strengths * torch.where(draw.chance(0.5), 1, -1)
    result = operation.apply(images, strengths)
    for i, (image, strength) in enumerate(zip(images, strengths.tolist(), strict=True)):
        expected = theirs._apply_image_or_video_transform(image, name, strength, theirs.interpolation, theirs._fill)
        torch.testing.assert_close(result[i], expected, rtol=0, atol=1e-4)


@every_policy
@every_operation
def test_strengths_are_torchvisions(policy: str, name: str) -> None:
    magnitudes, signed = torchvisions(policy)._AUGMENTATION_SPACE[name]
    operation = space(policy, 32, 40)[NAMES.index(name)]
    assert operation.signed == signed
    table = magnitudes(STRONGEST + 1, 32, 40)
    if table is not None:
        strengths = operation.strength(torch.arange(STRONGEST + 1))
        strengths = strengths.round() if name == "Posterize" else strengths
        torch.testing.assert_close(strengths, table.float(), rtol=1e-6, atol=1e-6)


def test_each_image_gets_the_operation_it_drew() -> None:
    images = photographs()
    choices = tuple(Operation(lambda x, by, k=k: x * 0 + k + by[:, None, None, None], 0.03) for k in range(3))
    draw = Draws(seeded(), len(images), images.device)
    choice, magnitude = draw.integers(0, 1), draw.integers(0, STRONGEST)  # nobody draws the last one
    result = apply_operations(images, choices, choice, torch.ones(len(images)), magnitude)
    expected = (choice + magnitude * 0.001)[:, None, None, None].expand_as(images)
    torch.testing.assert_close(result, expected)


def test_no_operations_is_identity() -> None:
    assert torch.equal(augmentations.build("randaugment(0)")(batch_of(photographs()), seeded()).images, photographs())


def test_more_operations_change_more_images() -> None:
    images = photographs().repeat(8, 1, 1, 1)
    unchanged = [
        (augmentations.build(f"randaugment({n})")(batch_of(images), seeded()).images == images).flatten(1).all(1).sum()
        for n in (1, 2, 4)
    ]
    assert unchanged[0] > unchanged[1] > unchanged[2]
