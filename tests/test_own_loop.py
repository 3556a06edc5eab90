"""The parts alone, in a loop of the user's own: docs/own-loop.md runs, and what it promises holds."""

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from thirtytwo import UserError
from thirtytwo.augment import Batch, augment, augmentations
from thirtytwo.data.imageset import to_float
from thirtytwo.data.load import load
from thirtytwo.training.feed import Feed

PAGE = Path(__file__).parents[1] / "docs" / "own-loop.md"
DIGITS = load("digits").train
MIXING = ("mixup", "cutmix")


def digits(count: int = 16) -> tuple[Tensor, Tensor]:
    return DIGITS.images[:count].float() / 255, DIGITS.labels[:count]


def test_the_page_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    namespace: dict[str, object] = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"{PAGE.name}, block {number + 1}", "exec"), namespace)
    assert len(blocks) >= 2


@pytest.mark.parametrize("name", [name for name in augmentations.names() if name != "translate"])
def test_a_call_draws_what_the_step_of_a_training_draws(name: str) -> None:
    text = f"translate(1)|{name}"
    plain = Feed(DIGITS, batch_size=64, seed=7)
    change = augment(text, seed=7, classes=10)
    for bare, expected in zip(plain, Feed(DIGITS, batch_size=64, augment=text, seed=7), strict=True):
        images, targets = change(bare.images, bare.targets, ids=bare.ids, epoch=bare.epoch)
        assert torch.equal(images, expected.images) and torch.equal(targets, expected.targets)


def test_draws_advance_and_come_again_from_the_seed_alone() -> None:
    images, labels = digits()
    before, state = images.clone(), torch.get_rng_state()
    first, again, other = (augment("translate(2)", seed=seed) for seed in (3, 3, 4))
    shown = [first(images, labels)[0] for _ in range(3)]
    assert not torch.equal(shown[0], shown[1]) and not torch.equal(shown[0], other(images, labels)[0])
    assert all(torch.equal(one, again(images, labels)[0]) for one in shown)
    assert torch.equal(images, before) and torch.equal(torch.get_rng_state(), state)
    resumed = augment("translate(2)", seed=3)
    resumed.calls = 2
    assert torch.equal(resumed(images, labels)[0], shown[2])


def test_labels_stay_labels_unless_classes_are_known() -> None:
    images, labels = digits()
    assert augment("flip|translate(1)")(images, labels)[1] is labels
    known = augment("flip", classes=10)(images, labels)[1]
    assert known.dtype == torch.float32 and torch.equal(known, torch.eye(10)[labels])
    smoothed = 0.9 * torch.eye(10)[labels] + 0.01
    assert torch.equal(augment("flip")(images, smoothed)[1], smoothed)
    for name in MIXING:
        change = augment(name)
        with pytest.raises(UserError, match=r"mix targets.* pass classes="):
            change(images, labels)
        _, mixed = change(images, torch.eye(10)[labels])  # the refused call was none
        again = augment(name, classes=10)(images, labels)[1]
        assert torch.equal(mixed, again) and ((mixed > 0).sum(1) == 2).any()
        torch.testing.assert_close(mixed.sum(1), torch.ones(len(images)))


def wrong_calls() -> dict[str, tuple[object, object, str]]:
    images, labels = digits()
    one_hot = torch.eye(10)[labels]
    return {
        "array": (
            images.numpy(),
            labels,
            "images must be a tensor, not ndarray: convert an array with torch.from_numpy",
        ),
        "bytes": (DIGITS.images[:16], labels, r"images are uint8: .* / 255"),
        "double": (images.double(), labels, r"not float64: pass images.float\(\)"),
        "channels last": (images.permute(0, 2, 3, 1), labels, r"\(B, H, W, C\): pass images.permute\(0, 3, 1, 2\)"),
        "one image": (images[0], labels[0], r"must be \(B, C, H, W\) with 1 or 3 channels, not \(1, 8, 8\)"),
        "two channels": (images.expand(-1, 2, -1, -1), labels, "1 or 3 channels"),
        "none": (images[:0], labels[:0], "have no pixels"),
        "to 255": (images * 255, labels, "0 to 255: divide by 255"),
        "normalised": ((images - 0.5) / 0.3, labels, "normalise after augmenting"),
        "not a number": (images / 0, labels, "must lie in 0..1"),
        "list": (images, labels.tolist(), "targets must be a tensor, not list"),
        "float labels": (images, labels.float(), r"int labels \(B,\) or float targets \(B, K\), not float32 \(16,\)"),
        "int targets": (images, one_hot.long(), r"not int64 \(16, 10\)"),
        "too few": (images, labels[:7], "16 images but 7 targets: pass one per image"),
        "negative": (images, labels - 1, "from 0 to 9, not -1 to"),
        "too many classes": (images, labels + 5, "from 0 to 9, not 5 to 14"),
        "logits": (images, 3 * one_hot, "float targets must lie in 0..1, not 0 to 3"),
        "other classes": (images, one_hot[:, :5], "targets have 5 classes, but classes=10"),
        "elsewhere": (images, labels.to("meta"), "images are on cpu, targets on meta"),
    }


@pytest.mark.parametrize("name", wrong_calls())
def test_a_wrong_batch_is_one_line(name: str) -> None:
    images, targets, said = wrong_calls()[name]
    with pytest.raises(UserError, match=said) as error:
        augment("flip|translate(1)", classes=10)(images, targets)
    assert "\n" not in str(error.value)


def test_a_wrong_word_is_one_line() -> None:
    images, labels = digits()
    for make, said in (
        (lambda: augment("flp"), "unknown augmentation 'flp': did you mean 'flip'"),
        (lambda: augment("translate(-1)"), "argument 'pixels'"),
        (lambda: augment(None), "text such as"),
        (lambda: augment("flip", seed=0.5), "seed must be a whole number"),
        (lambda: augment("flip", classes=1), "classes must be a whole number from 2 up, not 1"),
        (lambda: augment("translate(8)")(images, labels), "cannot reflect images of 8 x 8 pixels"),
        (lambda: augment("flip_alternating")(images, labels), "flip_alternating must recognise .* ids="),
        (lambda: augment("flip")(images, labels, ids=labels[:3]), r"ids of shape \(3,\)"),
        (lambda: Feed(DIGITS.images, batch_size=8), "takes an ImageSet, not Tensor"),
        (lambda: Feed(DIGITS.select([]), batch_size=8), "a feed needs images"),
        (lambda: Feed(DIGITS, batch_size=0), "batch_size must be a whole number from 1 up, not 0"),
        (lambda: Feed(DIGITS, batch_size=8.0), "not 8.0"),
        (lambda: Feed(DIGITS, batch_size=8, seed="a"), "seed must be a whole number, not 'a'"),
        (lambda: Feed(DIGITS, batch_size=8, augment="flp"), "did you mean 'flip'"),
        (lambda: Feed(DIGITS, batch_size=8, augment=None), "augment must be text such as"),
        (lambda: Feed(DIGITS, batch_size=8, device="gpu"), "device 'gpu'"),
    ):
        with pytest.raises(UserError, match=said) as error:
            make()
        assert "\n" not in str(error.value)


def test_iterating_a_feed_gives_epoch_after_epoch_in_the_order_of_a_training() -> None:
    feed, steps = (Feed(DIGITS, batch_size=100, augment="translate(1)", seed=5) for _ in range(2))
    assert len(feed) == len(DIGITS) // 100 == 17
    for epoch in range(2):
        seen = list(feed)
        assert len(seen) == len(feed) and all(batch.epoch == epoch for batch in seen)
        for position, batch in enumerate(seen):
            assert torch.equal(batch.images, steps.batch(epoch * len(feed) + position).images)
        ids = torch.cat([batch.ids for batch in seen])
        assert len(ids.unique()) == len(ids) == 1700
    assert next(iter(feed)).epoch == 2 and next(iter(feed)).epoch == 3


def test_a_feeds_batches_are_the_images_in_floats() -> None:
    small = DIGITS.select(range(20))
    (batch,) = Feed(small, batch_size=128)
    assert sorted(batch.ids.tolist()) == list(range(20))
    assert torch.equal(batch.images, small.images[batch.ids].float() / 255)
    assert torch.equal(batch.targets.argmax(1), small.labels[batch.ids])


def test_a_callable_of_ones_own_augments_a_feed() -> None:
    def darker(batch: Batch, _: torch.Generator) -> Batch:
        return Batch(batch.images / 2, batch.targets, batch.ids, batch.epoch, batch.seed)

    plain, dark = (next(iter(Feed(DIGITS, batch_size=8, augment=how))) for how in ("none", darker))
    assert torch.equal(dark.images, plain.images / 2)


def test_pixels_become_floats_with_the_same_bits_everywhere() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8).expand(-1, 3, -1, -1)
    floats = to_float(levels, torch.device("cpu"))
    assert floats.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(floats, levels.float() / 255) and torch.equal((floats * 255).round().to(torch.uint8), levels)
