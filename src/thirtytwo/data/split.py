"""Train, val and test: stratified, seeded, and independent of the order of the files.

Which split an image goes to is decided by a hash of its pixels and label with the seed, never by its position. Within
a split the images are in the order of their hashes, so that training draws the same batches too.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch

from thirtytwo import rng
from thirtytwo.data import cache
from thirtytwo.data.imageset import ImageSet, Official
from thirtytwo.errors import UserError
from thirtytwo.records import CUT_FROM_TEST, SplitRecord

VAL_FROM_TEST = Fraction(65, 100)
"""The share of the official test split that is val under the plan ``val-from-test``; the rest is test."""


@dataclass(frozen=True)
class Splits:
    """The three splits of one training.

    Attributes:
        name: what reports call the source.
        train: what is trained on; in all three, ids are positions in the official split that they were cut from.
        val: what is watched during training, disjoint from train.
        test: what is scored at the end, disjoint from both.
        record: how they were made, ready for JSON: plan, seed, sizes, class counts, sha256 and ids of each split.
        notes: one line each on what was done to the pictures and splits.
    """

    name: str
    train: ImageSet
    val: ImageSet
    test: ImageSet
    record: SplitRecord
    notes: tuple[str, ...]


def make_splits(
    official: Official,
    *,
    plan: str = "default",
    val: float | int = 0.1,
    test: float | int = 0.2,
    split_seed: int = 0,
    limit: int | None = None,
    memory_limit: int | None = None,
) -> Splits:
    """Cut what a source holds into train, val and test.

    Args:
        official: what `load` returned.
        plan: "default" keeps an official test split whole and unseen, cuts ``test`` from train where there is none, and
            then cuts ``val`` from what is left, unless the source has its own. "val-from-test" keeps train whole and
            cuts the official test split into val (65 %) and test (35 %).
        val: a share in (0, 1), rounded up to whole images, or a number of images. Each class contributes in proportion
            (largest remainders, so that the total is exact), and at least one image.
        test: likewise.
        split_seed: seed of the cut.
        limit: keep only this many training images, stratified; val and test stay whole.
        memory_limit: bytes above which a split is written to a memory-mapped file; see `cache.gather`.

    Identical images of one class go to one side of a cut wherever the numbers allow it. Raises UserError for
    plan "val-from-test" without an official test split, and when there are too few images of a class.
    """
    notes = list(official.notes)
    parts = {
        name: _Part.whole(name, image_set, split_seed)
        for name, image_set in (("train", official.train), ("val", official.val), ("test", official.test))
        if image_set is not None
    }
    orders = {name: part.images.order_hash() for name, part in parts.items()}
    if plan == "val-from-test":
        if "test" not in parts:
            raise UserError(f"{official.name} has no official test split: plan 'val-from-test' needs one")
        if "val" in parts:
            notes.append("the source's own val split is unused under plan 'val-from-test'")
        parts["test"], parts["val"] = parts["test"].cut(VAL_FROM_TEST, "val")
        notes.append(CUT_FROM_TEST)
    elif plan == "default":
        if "test" not in parts:
            parts["train"], parts["test"] = parts["train"].cut(test, "test")
        if "val" not in parts:
            parts["train"], parts["val"] = parts["train"].cut(val, "val")
    else:
        raise UserError(f"unknown plan '{plan}': use default or val-from-test")
    if limit is not None and limit < len(parts["train"].rows):
        parts["train"] = parts["train"].limited(limit)
    sets = {name: parts[name].ordered(memory_limit) for name in ("train", "val", "test")}
    record: SplitRecord = {
        "name": official.name,
        "classes": list(official.train.classes),
        "plan": plan,
        "split_seed": split_seed,
        "sizes": {name: len(image_set) for name, image_set in sets.items()},
        "class_counts": {name: image_set.class_counts().tolist() for name, image_set in sets.items()},
        "sha256": {name: content_hash(image_set) for name, image_set in sets.items()},
        "cut_from": {name: parts[name].origin for name in sets},
        "orders": {origin: orders[origin] for origin in sorted({parts[name].origin for name in sets})},
        "ids": {name: image_set.ids.tolist() for name, image_set in sets.items()},
        "notes": notes,
    }
    return Splits(official.name, sets["train"], sets["val"], sets["test"], record, tuple(notes))


def content_hash(image_set: ImageSet) -> str:
    """sha256 (hex) of all pixels, then all labels as little-endian int64, in the set's order."""
    digest = hashlib.sha256()
    for block in torch.split(image_set.images, 4096):
        digest.update(np.ascontiguousarray(block.numpy()).data)
    digest.update(np.ascontiguousarray(image_set.labels.numpy().astype("<i8")).data)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class _Part:
    """Some rows of an official split, with the hashes that decide about them."""

    origin: str
    images: ImageSet
    seed: int
    hashes: np.ndarray
    rows: np.ndarray

    @classmethod
    def whole(cls, origin: str, images: ImageSet, seed: int) -> "_Part":
        return cls(origin, images, seed, images.image_hashes(), np.arange(len(images)))

    def counts(self) -> np.ndarray:
        """int64 (K,): images per class."""
        return np.bincount(self.images.labels.numpy()[self.rows], minlength=len(self.images.classes))

    def cut(self, amount: float | Fraction, purpose: str) -> tuple["_Part", "_Part"]:
        """The rest, and the ``amount`` that was cut off for ``purpose``."""
        total = len(self.rows)
        wanted = math.ceil(Fraction(str(amount)) * total) if amount < 1 else int(amount)
        counts = self.counts()
        quotas = allot(wanted, counts)
        present = int((counts > 0).sum())
        for name, count, quota in zip(self.images.classes, counts.tolist(), quotas.tolist(), strict=True):
            if count and quota >= count:
                remedy = "" if count == 1 else f", or set data.{purpose} lower"
                raise UserError(
                    f"class '{name}' has {count} of the {total:,} images that {purpose} is cut from, and {purpose} "
                    f"would take {'it' if count == 1 else 'all'}: add pictures{remedy}"
                )
            if count and quota == 0:
                raise UserError(
                    f"{purpose} of {wanted:,} out of {total:,} images leaves class '{name}' without one: "
                    f"set data.{purpose} to {present} or more, or add pictures"
                )
        chosen = self._choose(quotas, purpose)
        return replace(self, rows=np.setdiff1d(self.rows, chosen)), replace(self, rows=chosen)

    def limited(self, count: int) -> "_Part":
        """A stratified choice of ``count`` rows; classes may end up empty if there are more of them."""
        return replace(self, rows=self._choose(allot(count, self.counts(), at_least=0), "limit"))

    def ordered(self, memory_limit: int | None) -> ImageSet:
        """The rows as an image set, in the order of their hashes; rows with equal hashes are the same, in any order."""
        rows = self.rows[np.argsort(self.hashes[self.rows], kind="stable")]
        images = cache.gather(self.images.images, rows, memory_limit)
        blank = replace(self.images, images=self.images.images[:, :0])  # `select` would copy the pixels into memory
        return replace(blank.select(rows), images=images)

    def _choose(self, quotas: np.ndarray, purpose: str) -> np.ndarray:
        """``quotas[k]`` rows of each class k, by keyed hash; identical images stay together while they fit."""
        key = rng.derive(self.seed, f"split/{purpose}").to_bytes(8, "little")
        chosen: list[int] = []
        labels = self.images.labels.numpy()[self.rows]
        for label, quota in enumerate(quotas.tolist()):
            groups: dict[bytes, list[int]] = {}
            for row in self.rows[labels == label].tolist():
                groups.setdefault(self.hashes[row].tobytes(), []).append(row)
            order = sorted(groups, key=lambda digest: hashlib.blake2b(digest, key=key, digest_size=16).digest())
            chosen += _fill([groups[digest] for digest in order], quota)
        return np.array(sorted(chosen), dtype=np.int64)


def allot(total: int, counts: np.ndarray, at_least: int = 1) -> np.ndarray:
    """Divide ``total`` in proportion to ``counts`` by largest remainders; the sum is exact if total <= counts.sum().

    Classes that exist and would get less than ``at_least`` take from the largest allotment while that is more.
    """
    total = min(total, int(counts.sum()))
    exact = [Fraction(total * int(count), max(1, int(counts.sum()))) for count in counts]
    quotas = np.array([math.floor(share) for share in exact], dtype=np.int64)
    by_remainder = sorted(range(len(exact)), key=lambda k: (int(quotas[k]) - exact[k], k))
    quotas[by_remainder[: total - int(quotas.sum())]] += 1
    for k in np.flatnonzero((counts > 0) & (quotas < at_least)):
        largest = int(quotas.argmax())
        if quotas[largest] > at_least:
            quotas[largest] -= 1
            quotas[k] += 1
    return quotas


def _fill(groups: Sequence[list[int]], quota: int) -> list[int]:
    """Whole groups in order while they fit; once none fits any more, part of the first that is left."""
    chosen: list[int] = []
    left: list[int] = []
    for group in groups:
        if len(chosen) + len(group) <= quota:
            chosen += group
        else:
            left += group
        if len(chosen) == quota:
            return chosen
    return chosen + left[: quota - len(chosen)]
