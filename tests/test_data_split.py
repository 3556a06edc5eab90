"""Splits: exact sizes, stratified, disjoint, whole, and blind to the order of the files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thirtytwo.data.cut import allot
from thirtytwo.data.imageset import ImageSet, Official
from thirtytwo.data.load import load
from thirtytwo.data.split import Splits, content_hash, make_splits
from thirtytwo.errors import UserError

NAMES = ("train", "val", "test")


@pytest.fixture(scope="module")
def digits() -> Official:
    return load("digits")


def parts(splits: Splits) -> list[ImageSet]:
    return [splits.train, splits.val, splits.test]


def small(counts: tuple[int, ...], seed: int = 0) -> ImageSet:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    images = torch.randint(0, 256, (len(labels), 1, 4, 4), dtype=torch.uint8, generator=torch.manual_seed(seed))
    return ImageSet.of(images, labels, tuple("abcdefgh"[: len(counts)]))


def test_digits_are_cut_as_documented(digits: Official) -> None:
    splits = make_splits(digits)
    assert splits.record["sizes"] == {"train": 1293, "val": 144, "test": 360}
    whole = digits.train.class_counts()
    for part in parts(splits):
        assert (part.class_counts() - whole * len(part) / len(digits.train)).abs().max() <= 1


def test_splits_are_disjoint_and_cover_the_source(digits: Official) -> None:
    splits = make_splits(digits)
    ids = torch.cat([part.ids for part in parts(splits)])
    assert torch.equal(ids.sort().values, torch.arange(len(digits.train)))
    for part in parts(splits):
        assert torch.equal(part.images, digits.train.images[part.ids])
        assert torch.equal(part.labels, digits.train.labels[part.ids])


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_files_changes_nothing(digits: Official, seed: int) -> None:
    shuffled = torch.randperm(len(digits.train), generator=torch.manual_seed(seed))
    again = make_splits(replace(digits, train=ImageSet.of(
        digits.train.images[shuffled], digits.train.labels[shuffled], digits.train.classes
    )), limit=500)  # fmt: skip
    for part, same in zip(parts(make_splits(digits, limit=500)), parts(again), strict=True):
        assert torch.equal(part.images, same.images) and torch.equal(part.labels, same.labels)
        assert torch.equal(part.ids, shuffled[same.ids])


def test_the_seed_decides_and_nothing_else(digits: Official) -> None:
    first, again, other = make_splits(digits), make_splits(digits), make_splits(digits, split_seed=1)
    assert first.record == again.record
    assert first.record["sha256"] != other.record["sha256"]
    assert first.record["sizes"] == other.record["sizes"]


def test_the_record_is_json_and_finds_every_image_again(digits: Official) -> None:
    splits = make_splits(digits, limit=100)
    record = json.loads(json.dumps(splits.record))
    assert record == splits.record
    for name, part in zip(NAMES, parts(splits), strict=True):
        found = digits.train.select(torch.tensor(record["ids"][name]))
        assert content_hash(found) == record["sha256"][name]
        assert record["class_counts"][name] == part.class_counts().tolist()


def test_official_splits_are_kept_whole(digits: Official) -> None:
    train, test = digits.train.select(torch.arange(1000)), ImageSet.of(
        digits.train.images[1000:], digits.train.labels[1000:], digits.train.classes
    )  # fmt: skip
    splits = make_splits(Official("x", train, test=test))
    assert splits.record["sizes"] == {"train": 900, "val": 100, "test": 797}
    assert set(splits.test.ids.tolist()) == set(range(797))
    assert splits.record["cut_from"] == {"train": "train", "val": "train", "test": "test"}
    own = make_splits(Official("x", train, val=test))
    assert len(own.val) == 797 and len(own.train) == 800 and len(own.test) == 200


def test_val_from_test_leaves_train_whole_and_says_so(digits: Official) -> None:
    splits = make_splits(replace(digits, test=digits.train), plan="val-from-test")
    assert [len(part) for part in parts(splits)] == [1797, 1169, 628]
    assert not set(splits.val.ids.tolist()) & set(splits.test.ids.tolist())
    assert any("cannot be compared" in note for note in splits.notes)
    with pytest.raises(UserError, match="no official test split"):
        make_splits(digits, plan="val-from-test")


def test_cifar_sizes_of_both_plans() -> None:
    """50,000 / 10,000 labels in CIFAR-10's proportions, on images small enough for every run of the suite."""
    labels = torch.arange(60_000) % 10
    images = torch.arange(60_000 * 16).reshape(60_000, 1, 4, 4).mul(2654435761).bitwise_right_shift(8).to(torch.uint8)
    train = ImageSet.of(images[:50_000], labels[:50_000], tuple("0123456789"))
    test = ImageSet.of(images[50_000:], labels[50_000:], tuple("0123456789"))
    usual, other = (make_splits(Official("x", train, test=test), plan=plan) for plan in ("default", "val-from-test"))
    assert usual.record["class_counts"] == {"train": [4500] * 10, "val": [500] * 10, "test": [1000] * 10}
    assert other.record["class_counts"] == {"train": [5000] * 10, "val": [650] * 10, "test": [350] * 10}


def test_limit_is_stratified_and_leaves_val_and_test_alone(digits: Official) -> None:
    whole, some = make_splits(digits), make_splits(digits, limit=200)
    assert some.record["sha256"]["val"] == whole.record["sha256"]["val"]
    assert some.record["sha256"]["test"] == whole.record["sha256"]["test"]
    assert len(some.train) == 200 and some.train.class_counts().min() >= 19
    assert set(some.train.ids.tolist()) < set(whole.train.ids.tolist())
    assert make_splits(digits, limit=10).train.class_counts().tolist() == [1] * 10
    with pytest.raises(UserError, match=r"data.limit=9 is less than the 10 classes.*set it to 10 or more"):
        make_splits(digits, limit=9)


@pytest.mark.parametrize("limit", [2, 3, 50, 400])
def test_a_rare_class_keeps_an_image_under_every_limit(limit: int) -> None:
    splits = make_splits(Official("x", small((400, 4))), limit=limit)
    assert len(splits.train) == min(limit, 290) and splits.train.class_counts().min() >= 1


def test_copies_of_an_image_stay_on_one_side_of_the_cut() -> None:
    """Every other image is there three times; the rest once, so that the numbers always come out."""
    originals = small((60, 60))
    rows = torch.cat([torch.arange(120), torch.arange(0, 120, 2).repeat(2)])
    copies = ImageSet.of(originals.images[rows], originals.labels[rows], originals.classes)
    splits = make_splits(Official("x", copies))
    assert sum(len(part) for part in parts(splits)) == 240
    seen = [set(map(bytes, part.content()[:, 1])) for part in parts(splits)]
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]


def test_a_set_of_nothing_but_copies_is_still_cut_exactly() -> None:
    same = ImageSet.of(torch.zeros(40, 1, 4, 4, dtype=torch.uint8), torch.arange(40) % 2, ("a", "b"))
    assert make_splits(Official("x", same)).record["sizes"] == {"train": 28, "val": 4, "test": 8}


@given(st.lists(st.integers(0, 300), min_size=1, max_size=12), st.floats(0, 1))
@settings(max_examples=200, deadline=None)
def test_allotments_are_exact_and_in_proportion(counts: list[int], share: float) -> None:
    total = round(share * sum(counts))
    quotas = allot(total, np.array(counts))
    assert quotas.sum() == total and (quotas <= np.array(counts)).all() and (quotas >= 0).all()
    if total >= len(counts):
        assert (quotas[np.array(counts) > 0] >= 1).all()


def test_a_share_is_taken_as_written() -> None:
    """0.07 x 100 is 7.000000000000001 in binary floating point; 7 images are meant."""
    assert len(make_splits(Official("x", small((50, 50))), test=0.07, val=0.1).test) == 7


@pytest.mark.parametrize(("counts", "settings_", "message"), [
    ((20, 1), {}, "class 'b' has 1 of the 21 images that test is cut from, and test would take it"),
    ((4, 4), {}, "val of 1 out of 6 images leaves class 'b' without one: set data.val to 2 or more"),
    ((20, 20), {"val": 1}, "val of 1 out of 32 images leaves class 'b' without one: set data.val to 2 or more"),
    ((20, 20), {"val": 32}, "and val would take all: add pictures, or set data.val lower"),
    ((20, 20), {"plan": "thirds"}, "unknown plan 'thirds'"),
])  # fmt: skip
def test_too_few_images_are_one_line(counts: tuple[int, ...], settings_: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as error:
        make_splits(Official("x", small(counts)), **settings_)  # type: ignore[arg-type]
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_split_that_outgrows_memory_is_mapped_and_the_same(
    digits: Official, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THIRTYTWO_CACHE", str(tmp_path))
    mapped, plain = make_splits(digits, memory_limit=0), make_splits(digits)
    assert mapped.record == plain.record
    assert len(list((tmp_path / "decoded").glob("split-*.npy"))) == 3
    assert make_splits(digits, memory_limit=0).record == plain.record
