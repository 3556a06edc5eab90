"""What holds for every augmentation, the next one too: each registered name is tested with its default settings."""

import dataclasses
import inspect
from pathlib import Path

import pytest
import torch
from torch import Tensor

from augment_batches import batch_of, digits, photographs, seeded
from thirtytwo.augment import Augmentation, Batch, Chain, augmentations
from thirtytwo.errors import UserError
from thirtytwo.imports import run_file
from thirtytwo.spec import Spec

DOCUMENTATION = Path(__file__).parents[1] / "docs" / "augmentation.md"
NAMES = augmentations.names()
BATCHES = {
    "digits": digits,
    "photographs": photographs,
    "wide": lambda: photographs(24, 40),
    "one": lambda: photographs()[:1],
}

every_augmentation = pytest.mark.parametrize("name", NAMES)
every_batch = pytest.mark.parametrize("images", [make() for make in BATCHES.values()], ids=list(BATCHES))


def same(a: Batch, b: Batch) -> bool:
    return torch.equal(a.images, b.images) and torch.equal(a.targets, b.targets)


def with_no_chance(augmentation: Augmentation) -> Augmentation | None:
    """The same augmentation with p=0, where it has a p."""
    if "p" not in {field.name for field in dataclasses.fields(augmentation)}:
        return None
    return dataclasses.replace(augmentation, p=0.0)


@every_augmentation
@every_batch
def test_result_is_a_batch_of_the_same_kind(name: str, images: Tensor) -> None:
    batch = batch_of(images)
    result = augmentations.build(name)(batch, seeded())
    assert result.images.dtype == torch.float32
    assert result.images.shape == images.shape
    assert result.images.min() >= 0
    assert result.images.max() <= 1
    assert result.targets.shape == batch.targets.shape
    assert result.targets.min() >= 0
    torch.testing.assert_close(result.targets.sum(1), torch.ones(len(images)))
    assert torch.equal(result.ids, batch.ids)
    assert (result.epoch, result.seed) == (batch.epoch, batch.seed)


@every_augmentation
@every_batch
def test_input_is_not_changed(name: str, images: Tensor) -> None:
    batch = batch_of(images.clone())
    untouched = batch_of(images.clone())
    augmentations.build(name)(batch, seeded())
    assert same(batch, untouched)
    assert torch.equal(batch.ids, untouched.ids)


@every_augmentation
@every_batch
def test_same_generator_gives_the_same_bits(name: str, images: Tensor) -> None:
    augmentation, batch = augmentations.build(name), batch_of(images)
    assert same(augmentation(batch, seeded(5)), augmentation(batch, seeded(5)))


@every_augmentation
def test_each_image_gets_a_parameter_of_its_own(name: str) -> None:
    # Copies of two photographs: an augmentation with one parameter a batch would treat all copies alike.
    photo = photographs()[[5, 40]]
    images = photo.repeat(32, 1, 1, 1)
    targets = torch.eye(2).repeat(32, 1)
    result = augmentations.build(name)(Batch(images, targets, torch.arange(64)), seeded())
    for which in (0, 1):
        outcomes = torch.cat([result.images[which::2].flatten(1), result.targets[which::2]], dim=1)
        assert len(outcomes.unique(dim=0)) > 1


@every_augmentation
def test_another_generator_gives_another_result(name: str) -> None:
    augmentation, batch = augmentations.build(name), batch_of(photographs())
    changed = not same(augmentation(batch, seeded(1)), augmentation(batch, seeded(2)))
    assert changed == (name != "flip_alternating"), "only flip_alternating ignores the generator"


@every_augmentation
@every_batch
def test_no_chance_is_identity(name: str, images: Tensor) -> None:
    never = with_no_chance(augmentations.build(name))
    if never is None:
        pytest.skip(f"{name} has no chance of leaving an image alone: it changes each one")
    batch = batch_of(images)
    assert same(never(batch, seeded()), batch)


@every_augmentation
def test_channels_last_stays_and_changes_no_value(name: str) -> None:
    augmentation, images = augmentations.build(name), photographs()
    expected = augmentation(batch_of(images), seeded()).images
    result = augmentation(batch_of(images.contiguous(memory_format=torch.channels_last)), seeded()).images
    assert result.is_contiguous(memory_format=torch.channels_last)
    # Sums over an image run in the order of memory, which costs the last bit.
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-6)


@every_augmentation
def test_an_image_alone_in_channels_last_is_no_other(name: str) -> None:
    # One of several augmentations may be drawn for a single image, whose memory is laid out like no larger batch's.
    augmentation, image = augmentations.build(name), photographs()[5:6]
    for seed in range(30):
        expected = augmentation(batch_of(image), seeded(seed)).images
        result = augmentation(batch_of(image.contiguous(memory_format=torch.channels_last)), seeded(seed)).images
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-6)


@every_augmentation
def test_autocast_changes_no_bit(name: str) -> None:
    augmentation, batch = augmentations.build(name), batch_of(photographs())
    with torch.autocast("cpu", torch.bfloat16):
        result = augmentation(batch, seeded())
    assert same(result, augmentation(batch, seeded()))


@every_augmentation
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_processor_generator_serves_a_gpu(name: str) -> None:
    augmentation, batch = augmentations.build(name), batch_of(photographs())
    moved = dataclasses.replace(batch, images=batch.images.cuda(), targets=batch.targets.cuda(), ids=batch.ids.cuda())
    result, expected = augmentation(moved, seeded()), augmentation(batch, seeded())
    assert result.images.is_cuda
    # A few pixels at an interpolation's or a rounding's edge may fall on its other side.
    assert ((result.images.cpu() - expected.images).abs() < 1e-4).float().mean() > 0.999
    torch.testing.assert_close(result.targets.cpu(), expected.targets)


@every_augmentation
def test_it_says_what_it_does(name: str) -> None:
    assert augmentations.summary(name).endswith(".")
    assert not augmentations.summary(name).startswith(augmentations.get(name).__name__ + "("), "has no docstring"


@every_augmentation
def test_the_documentation_gives_its_arguments_and_defaults(name: str) -> None:
    rows = [line.split("|") for line in DOCUMENTATION.read_text().splitlines() if line.startswith(f"| `{name}")]
    shown = [row[1].strip(" `") for row in rows if Spec.parse(row[1].strip(" `")).name == name]
    assert len(shown) == 1
    assert set(Spec.parse(shown[0]).kwargs) == set(inspect.signature(augmentations.get(name)).parameters)
    documented = dataclasses.asdict(augmentations.build(shown[0]))
    for setting, value in dataclasses.asdict(augmentations.build(name)).items():
        assert documented[setting] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-3))


def test_the_documentation_shows_how_to_write_one(tmp_path: Path) -> None:
    code = DOCUMENTATION.read_text().partition("```python\n")[2].partition("```")[0]
    file = tmp_path / "my_augment.py"
    file.write_text(code)
    with augmentations.temporary():
        run_file(file)
        result = Chain.parse("negative(1)")(batch_of(photographs()), seeded())
        assert torch.equal(result.images, 1 - photographs())
        with pytest.raises(UserError, match="less than or equal to 1"):
            Chain.parse("flip|negative(p=3)")
    with pytest.raises(UserError, match="unknown augmentation 'negative'"):
        Chain.parse("negative(1)")


def test_a_chain_applies_its_parts_in_order() -> None:
    batch = batch_of(photographs())
    generator = seeded()
    expected = batch
    for text in ("flip", "translate(4)", "cutout(8)"):
        expected = augmentations.build(text)(expected, generator)
    assert same(Chain.parse("flip|translate(4)|cutout(8)")(batch, seeded()), expected)


def test_the_empty_chain_is_identity() -> None:
    batch = batch_of(digits())
    assert same(Chain.parse("none")(batch, seeded()), batch)


@pytest.mark.parametrize(
    "text",
    [
        "flip(1.5)",
        "flip(-0.1)",
        "flip('often')",
        "translate(-1)",
        "translate(2, 'mirror')",
        "rotate(181)",
        "affine(scale=(0, 1))",
        "affine(scale=(2, 1))",
        "perspective(0.7)",
        "random_resized_crop(scale=(0.5, 1.5))",
        "random_resized_crop(ratio=(2, 1))",
        "cutout(-8)",
        "brightness(2)",
        "hue(0.6)",
        "blur(kernel=4)",
        "blur((0, 1))",
        "noise(-1)",
        "posterise(9)",
        "solarise(2)",
        "mixup(0)",
        "cutmix(-1)",
        "randaugment(2, 31)",
        "randaugment(n=-1)",
        "trivialaugment(3)",
        "flip_alternating(0.5)",
        "flop",
    ],
)
def test_nonsense_is_refused_with_one_line_that_names_it(text: str) -> None:
    with pytest.raises(UserError, match=r"^[^\n]+$") as caught:
        Chain.parse(text)
    assert text.partition("(")[0] in str(caught.value)


def test_nonsense_from_python_is_refused_too() -> None:
    for name, settings in [
        ("flip", {"p": 2}),
        ("translate", {"pixels": 1.5}),
        ("random_erasing", {"ratio": (3, 1)}),
        ("noise", {"std": float("nan")}),
        ("rotate", {"degrees": float("nan")}),
        ("mixup", {"alpha": float("inf")}),
    ]:
        with pytest.raises(UserError, match=next(iter(settings))):
            augmentations.get(name)(**settings)


def test_images_too_small_for_a_setting_are_named() -> None:
    with pytest.raises(UserError, match=r"translate\(8\).*8 x 8"):
        Chain.parse("translate(8)")(batch_of(digits()), seeded())
    with pytest.raises(UserError, match=r"kernel=17.*8 x 8"):
        Chain.parse("blur(kernel=17)")(batch_of(digits()), seeded())
    Chain.parse("translate(8, 'zero')")(batch_of(digits()), seeded())
