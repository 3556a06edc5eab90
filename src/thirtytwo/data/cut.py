"""Cut a set of images in two: stratified, seeded, by the images' content."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import numpy as np

from thirtytwo import rng
from thirtytwo.data import cache
from thirtytwo.data.imageset import ImageSet
from thirtytwo.errors import UserError
from thirtytwo.words import plural

Kept = Mapping[str, np.ndarray]
"""Split -> the `short` digests of the images that an earlier run had in it."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows of an official split, with the digests that decide about them.

    Attributes:
        origin: the split's name.
        images: all of it.
        seed: of the cuts.
        content: uint64 (N,): each image's `short` digest.
        hashes: "V16" (N,): each image's digest with its label, which decides.
        rows: int64: those that are meant.
    """

    origin: str
    images: ImageSet
    seed: int
    content: np.ndarray
    hashes: np.ndarray
    rows: np.ndarray

    @classmethod
    def whole(cls, origin: str, images: ImageSet, seed: int, version: Literal[1, 2, 3]) -> "Part":
        """All of an official split. ``version`` as in `split.make_splits`."""
        content = images.content()
        hashes = images.pixel_digests()[:, 1] if version == 1 and images.digests is not None else content[:, 1]
        return cls(origin, images, seed, short(content[:, 0]), hashes, np.arange(len(images)))

    def counts(self) -> np.ndarray:
        """int64 (K,): images per class."""
        return np.bincount(self.images.labels.numpy()[self.rows], minlength=len(self.images.classes))

    def cut(self, amount: float | Fraction, purpose: str, kept: Kept | None = None) -> tuple["Part", "Part"]:
        """The rest, and the ``amount`` that was cut off for ``purpose``; images in ``kept`` stay where they were."""
        if kept is None:
            chosen = self._choose(quotas(self.counts(), self.images.classes, amount, purpose), purpose)
        else:
            chosen = self._as_kept(amount, purpose, kept)
        return replace(self, rows=np.setdiff1d(self.rows, chosen)), replace(self, rows=chosen)

    def _as_kept(self, amount: float | Fraction, purpose: str, kept: Kept) -> np.ndarray:
        """The rows that were in ``purpose``, and its share of those that were nowhere."""
        content = self.content[self.rows]
        home = np.full(len(content), "", dtype="<U5")
        for split in ("train", "val", "test"):  # what was tested on stays in test, whatever else had the same picture
            home[np.isin(content, kept[split])] = split
        there, fresh = self.rows[home == purpose], replace(self, rows=self.rows[home == ""])
        wanted = _wanted(amount, len(fresh.rows)) if amount < 1 else max(0, int(amount) - len(there))
        known = replace(self, rows=self.rows[(home != "") & (home != purpose)]).counts()
        most = np.where(known > 0, fresh.counts(), np.maximum(fresh.counts() - 1, 0))  # one to train on
        quotas = np.minimum(allot(wanted, fresh.counts(), at_least=0), most)
        return np.sort(np.concatenate([there, fresh._choose(quotas, purpose)]))

    def limited(self, count: int) -> "Part":
        """A stratified choice of ``count`` rows, at least one of each class. Raises UserError for fewer than that."""
        counts = self.counts()
        if count < (present := int((counts > 0).sum())):
            raise UserError(
                f"data.limit={count} is less than the {plural(present, 'class')}, of which each needs an image to "
                f"train on: set it to {present} or more"
            )
        return replace(self, rows=self._choose(allot(count, counts), "limit"))

    def ordered(self) -> "Part":
        """The rows in the order of their hashes; those with equal hashes are the same, in any order."""
        return replace(self, rows=self.rows[np.argsort(self.hashes[self.rows], kind="stable")])

    def gathered(self, memory_limit: int | None) -> ImageSet:
        """The rows as an image set."""
        images = cache.gather(self.images.images, self.rows, memory_limit)
        blank = replace(self.images, images=self.images.images[:, :0])  # `select` would copy the pixels into memory
        return replace(blank.select(self.rows), images=images)

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


def quotas(counts: np.ndarray, classes: Sequence[str], amount: float | Fraction, purpose: str) -> np.ndarray:
    """How many images of each class, of which there are ``counts``, a cut takes for ``purpose``: int64 (K,).

    Raises UserError where that would be none, or all, of a class.
    """
    total = int(counts.sum())
    wanted = _wanted(amount, total)
    if purpose == "val":  # a class of two, one of which is in test, is trained on: it goes without
        counts = np.where(counts == 1, 0, counts)
    taken = allot(wanted, counts)
    present = int((counts > 0).sum())
    for name, count, quota in zip(classes, counts.tolist(), taken.tolist(), strict=True):
        if count and quota >= count:
            remedy = "" if count == 1 else f", or set data.{purpose} lower"
            raise UserError(
                f"class '{name}' has {count} of the {plural(total, 'image')} that {purpose} is cut from, and {purpose} "
                f"would take {'it' if count == 1 else 'all'}: add pictures{remedy}"
            )
        if count and quota == 0:
            raise UserError(
                f"{purpose} of {wanted:,} out of {plural(total, 'image')} leaves class '{name}' without one: "
                f"set data.{purpose} to {present} or more, or add pictures"
            )
    return taken


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


def _wanted(amount: float | Fraction, total: int) -> int:
    return math.ceil(Fraction(str(amount)) * total) if amount < 1 else int(amount)


def short(content: np.ndarray) -> np.ndarray:
    """The first half of each digest, "V16" (N,) -> uint64 (N,): enough to tell millions of images apart."""
    return np.ascontiguousarray(content).view("<u8").reshape(-1, 2)[:, 0]
