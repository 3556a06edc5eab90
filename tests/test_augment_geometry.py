"""Moving pixels a batch at a time equals torchvision's functions an image at a time."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from augment_batches import batch_of, digits, photographs, seeded
from thirtytwo.augment import Batch, augmentations
from thirtytwo.augment.boxes import Boxes, boxes_around_pixels, boxes_of_share
from thirtytwo.augment.draws import Draws
from thirtytwo.augment.erase import erase_images
from thirtytwo.augment.geometry import (
    affine_images,
    crop_images,
    perspective_images,
    resized_crop_images,
    rotate_images,
    translate_images,
)

IMAGES = {"digits": digits(), "photographs": photographs(), "wide": photographs(24, 40), "one": photographs()[:1]}
every_image_size = pytest.mark.parametrize("images", IMAGES.values(), ids=IMAGES.keys())

# Positions in pixels are rounded to about 1e-6 here and there, so that values agree to a fortieth of a grey level.
SAMPLED = {"rtol": 0, "atol": 1e-4}


def draws(images: Tensor, seed: int = 0) -> Draws:
    return Draws(seeded(seed), len(images), images.device)


def one_by_one(change, images: Tensor, *parameters: Tensor) -> Tensor:
    """``change(image, *numbers)`` for each image, stacked."""
    rows = zip(images, *(parameter.tolist() for parameter in parameters), strict=True)
    return torch.stack([change(image, *numbers) for image, *numbers in rows])


@every_image_size
def test_flips_are_the_mirror_image(images: Tensor) -> None:
    batch = batch_of(images)
    assert torch.equal(augmentations.build("flip(1)")(batch, seeded()).images, images.flip(3))
    assert torch.equal(augmentations.build("vflip(1)")(batch, seeded()).images, images.flip(2))


def test_flip_mirrors_the_share_that_was_asked_for() -> None:
    images = photographs().repeat(32, 1, 1, 1)
    result = augmentations.build("flip(0.25)")(batch_of(images), seeded()).images
    mirrored = (result == images.flip(3)).flatten(1).all(1)
    assert ((result == images).flatten(1).all(1) | mirrored).all()
    # 2048 coins: four standard deviations are 0.038.
    assert abs(mirrored.float().mean().item() - 0.25) < 0.038


@given(epoch=st.integers(0, 500), seed=st.integers(0, 2**40))
@settings(max_examples=20, deadline=None)
def test_two_consecutive_epochs_show_every_image_both_ways(epoch: int, seed: int) -> None:
    images = photographs()
    flip = augmentations.build("flip_alternating")
    first = flip(batch_of(images, epoch, seed), seeded(1)).images
    second = flip(batch_of(images, epoch + 1, seed), seeded(2)).images
    third = flip(batch_of(images, epoch + 2, seed), seeded(3)).images
    assert torch.equal(second, first.flip(3))
    assert torch.equal(third, first)
    as_they_are = (first == images).flatten(1).all(1)
    assert torch.equal(first[~as_they_are], images[~as_they_are].flip(3))


def test_alternating_coins_are_fair_independent_and_belong_to_the_image() -> None:
    ids = torch.arange(50_000)
    images = torch.tensor([0.0, 1.0]).expand(len(ids), 1, 1, 2)
    flip = augmentations.build("flip_alternating")

    def coins(ids: Tensor, seed: int) -> Tensor:
        batch = Batch(images[: len(ids)], torch.ones(len(ids), 1), ids, 0, seed)
        return flip(batch, seeded()).images[:, 0, 0, 0]

    first, second = coins(ids, 0), coins(ids, 1)
    # 50,000 coins: four standard deviations are 0.009.
    assert abs(first.mean().item() - 0.5) < 0.009
    assert abs((first == second).float().mean().item() - 0.5) < 0.009
    assert abs((first[1:] == first[:-1]).float().mean().item() - 0.5) < 0.009
    order = torch.randperm(len(ids), generator=seeded())
    assert torch.equal(coins(ids[order], 0), first[order])


@every_image_size
@pytest.mark.parametrize("padding", ["reflect", "zero"])
@pytest.mark.parametrize("pixels", [0, 1, 4, 7])
def test_translate_is_a_crop_of_the_padded_image(images: Tensor, padding: str, pixels: int) -> None:
    draw = draws(images)
    down, right = draw.integers(-pixels, pixels), draw.integers(-pixels, pixels)
    mode = "reflect" if padding == "reflect" else "constant"

    def expected(image: Tensor, down: int, right: int) -> Tensor:
        padded = reference.pad(image, [pixels] * 4, padding_mode=mode)
        return reference.crop(padded, pixels - down, pixels - right, *image.shape[1:])

    result = translate_images(images, down, right, pixels, padding)
    assert torch.equal(result, one_by_one(expected, images, down, right))


def test_translate_moves_down_and_right() -> None:
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 1, 1] = 1
    moved = translate_images(image, torch.tensor([2]), torch.tensor([1]), 2, "zero")
    assert moved.nonzero().tolist() == [[0, 0, 3, 2]]


def test_translate_reaches_every_shift_equally_often() -> None:
    image = torch.zeros(1, 1, 7, 7)
    image[0, 0, 3, 3] = 1
    images = image.repeat(25 * 400, 1, 1, 1)
    shown = augmentations.build("translate(2)")(batch_of(images), seeded()).images.sum(0)[0]
    assert shown[:1].sum() == shown[-1:].sum() == shown[:, :1].sum() == shown[:, -1:].sum() == 0
    # 400 of 10,000 are expected at each of 25 places: five standard deviations are 98.
    assert (shown[1:-1, 1:-1] - 400).abs().max() < 98


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_crops_are_slices(data: st.DataObject) -> None:
    size = st.integers(1, 12)
    count, channels, height, width = (data.draw(s) for s in (st.integers(1, 5), st.sampled_from([1, 3]), size, size))
    rows, columns = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    images = torch.rand(count, channels, height, width, generator=seeded())
    top = torch.tensor(data.draw(st.lists(st.integers(0, height - rows), min_size=count, max_size=count)))
    left = torch.tensor(data.draw(st.lists(st.integers(0, width - columns), min_size=count, max_size=count)))
    expected = one_by_one(lambda x, t, l: x[:, t : t + rows, l : l + columns], images, top, left)
    assert torch.equal(crop_images(images, top, left, rows, columns), expected)


@every_image_size
def test_rotation_is_torchvisions(images: Tensor) -> None:
    degrees = draws(images).uniform(-180, 180)
    expected = one_by_one(lambda x, by: reference.rotate(x, by, InterpolationMode.BILINEAR), images, degrees)
    torch.testing.assert_close(rotate_images(images, degrees), expected, **SAMPLED)


@pytest.mark.parametrize("degrees", [0.0, 90.0, 180.0, -90.0])
def test_a_quarter_turn_moves_whole_pixels(degrees: float) -> None:
    images = photographs()
    turned = rotate_images(images, torch.full((len(images),), degrees))
    torch.testing.assert_close(turned, images.rot90(int(degrees // 90), (2, 3)), **SAMPLED)


@every_image_size
def test_affine_map_is_torchvisions(images: Tensor) -> None:
    draw = draws(images)
    parameters = [draw.uniform(*bounds) for bounds in ((-180, 180), (-9, 9), (-9, 9), (0.5, 2), (-40, 40), (-40, 40))]

    def expected(image: Tensor, degrees: float, right: float, down: float, scale: float, x: float, y: float) -> Tensor:
        return reference.affine(image, degrees, [right, down], scale, [x, y], InterpolationMode.BILINEAR)

    torch.testing.assert_close(affine_images(images, *parameters), one_by_one(expected, images, *parameters), **SAMPLED)


@every_image_size
def test_perspective_is_torchvisions(images: Tensor) -> None:
    height, width = images.shape[2:]
    start = torch.tensor([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]])
    corners = start + draws(images).uniform(-0.3, 0.3, 4, 2) * torch.tensor([width, height])

    def expected(image: Tensor, end: list[list[float]]) -> Tensor:
        return reference.perspective(image, start.tolist(), end)

    result = perspective_images(images, corners)
    torch.testing.assert_close(result, one_by_one(expected, images, corners), **SAMPLED)


@every_image_size
def test_resized_crop_is_torchvisions(images: Tensor) -> None:
    height, width = images.shape[2:]
    boxes = boxes_of_share(draws(images), height, width, (0.02, 1.0), (0.3, 3.0))

    def expected(image: Tensor, top: int, left: int, rows: int, columns: int) -> Tensor:
        return reference.resized_crop(image, top, left, rows, columns, [height, width], antialias=True)

    result = resized_crop_images(images, boxes)
    places = (boxes.top, boxes.left, boxes.height, boxes.width)
    torch.testing.assert_close(result, one_by_one(expected, images, *places), **SAMPLED)


@every_image_size
def test_erasing_is_torchvisions(images: Tensor) -> None:
    boxes = boxes_of_share(draws(images), *images.shape[2:], (0.02, 0.33), (0.3, 3.3))
    fill = torch.tensor(0.25)
    places = (boxes.top, boxes.left, boxes.height, boxes.width)
    expected = one_by_one(lambda x, *place: reference.erase(x, *place, v=fill), images, *places)
    assert torch.equal(erase_images(images, boxes, fill), expected)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    low=st.floats(0.01, 1),
    high=st.floats(0.01, 1),
    narrow=st.floats(0.1, 10),
    broad=st.floats(0.1, 10),
)
@settings(max_examples=60, deadline=None)
def test_boxes_lie_inside_and_are_as_large_as_asked(
    height: int, width: int, low: float, high: float, narrow: float, broad: float
) -> None:
    scale, ratio = (min(low, high), max(low, high)), (min(narrow, broad), max(narrow, broad))
    boxes = boxes_of_share(Draws(seeded(), 50, torch.device("cpu")), height, width, scale, ratio)
    assert_inside(boxes, height, width)
    whole = (boxes.height < height) & (boxes.width < width) & (boxes.height > 1) & (boxes.width > 1)
    # Rounding to whole pixels moves each side by at most half a pixel.
    assert ((boxes.height - 0.5) * (boxes.width - 0.5) <= scale[1] * height * width * 1.0001)[whole].all()
    assert ((boxes.height + 0.5) * (boxes.width + 0.5) >= scale[0] * height * width * 0.9999)[whole].all()


@given(height=st.integers(1, 20), width=st.integers(1, 20), size=st.integers(0, 30))
@settings(max_examples=40, deadline=None)
def test_a_square_around_a_pixel_is_cut_at_the_edge(height: int, width: int, size: int) -> None:
    side = torch.full((50,), size)
    boxes = boxes_around_pixels(Draws(seeded(), 50, torch.device("cpu")), height, width, side, side)
    assert_inside(boxes, height, width)
    inner = (boxes.top > 0) & (boxes.top + boxes.height < height)
    assert (boxes.height[inner] == size).all()
    assert torch.equal(boxes.mask(height, width).sum((1, 2, 3)), boxes.area)


def assert_inside(boxes: Boxes, height: int, width: int) -> None:
    assert (boxes.top >= 0).all()
    assert (boxes.left >= 0).all()
    assert (boxes.top + boxes.height <= height).all()
    assert (boxes.left + boxes.width <= width).all()


def test_cutout_hides_a_square_under_the_mean_colour() -> None:
    images = photographs()
    result = augmentations.build("cutout(8)")(batch_of(images), seeded()).images
    mean = images.mean((0, 2, 3), keepdim=True).expand_as(images)
    hidden = result != images
    torch.testing.assert_close(result[hidden], mean[hidden])
    sizes = hidden.any(1).sum((1, 2))
    assert sizes.max() == 64
    assert sizes.min() >= 16


def test_random_erasing_leaves_the_rest_alone() -> None:
    images = photographs()
    result = augmentations.build("random_erasing(1)")(batch_of(images), seeded()).images
    share = (result != images).any(1).float().mean((1, 2))
    assert share.min() > 0.01
    assert share.max() < 0.35
