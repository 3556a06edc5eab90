"""Train, val and test: stratified, seeded, and independent of the order of the files.

Which split an image goes to is decided by a hash of its content and label with the seed, never by its position or by
the size that it is trained at. Within a split the images are in the order of their hashes, so that training draws the
same batches too.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import numpy as np
import torch

from thirtytwo.data.cut import Kept, Part, quotas
from thirtytwo.data.imageset import ImageSet, Official
from thirtytwo.data.layout import SPLITS, absent
from thirtytwo.errors import UserError
from thirtytwo.records import CUT_FROM_TEST, SplitRecord
from thirtytwo.words import plural

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
    version: Literal[1, 2, 3] = 3,
    kept: Mapping[str, str] | None = None,
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
        limit: keep only this many training images, stratified, at least one per class; val and test stay whole.
        version: 1, the earliest rule, decides by the pixels after resizing; 2 and 3 by the content before it, as `load`
            gives it with and without ``by_bytes``.
        kept: an earlier run's content by split (`SplitRecord`): its images stay where they were, and only what is new
            is cut.
        memory_limit: bytes above which a split is written to a memory-mapped file; see `cache.gather`.

    Identical images of one class go to one side of a cut wherever the numbers allow it. Raises UserError for
    plan "val-from-test" without an official test split, and when there are too few images of a class.
    """
    notes = list(official.notes)
    parts = {name: Part.whole(name, image_set, split_seed, version) for name, image_set in official.sets.items()}
    orders = {name: part.images.order_hash() for name, part in parts.items()}
    before = None if kept is None else {name: _unpacked(kept[name]) for name in SPLITS}
    notes += _cut(parts, official.name, plan, val, test, before)
    if limit is not None and limit < len(parts["train"].rows):
        parts["train"] = parts["train"].limited(limit)
    ordered = {name: parts[name].ordered() for name in SPLITS}
    sets = {name: part.gathered(memory_limit) for name, part in ordered.items()}
    content = {name: part.content[part.rows] for name, part in ordered.items()}
    notes += [*absent({name: image_set.named_counts() for name, image_set in sets.items()}), *_shared(content, sets)]
    if before is not None:
        notes.append(_stayed(content, before))
    record: SplitRecord = {
        "name": official.name,
        "classes": list(official.train.classes),
        "version": version,
        "plan": plan,
        "split_seed": split_seed,
        "cut_from": {name: part.origin for name, part in ordered.items()},
        "orders": {origin: orders[origin] for origin in sorted({part.origin for part in ordered.values()})},
        "content": {name: each.tobytes().hex() for name, each in content.items()},
        "notes": notes,
        "shape": list(sets["train"].images.shape[1:]),
        "sizes": {name: len(image_set) for name, image_set in sets.items()},
        "class_counts": {name: image_set.class_counts().tolist() for name, image_set in sets.items()},
        "sha256": {name: content_hash(image_set) for name, image_set in sets.items()},
        "ids": {name: image_set.ids.tolist() for name, image_set in sets.items()},
        "labels": {name: image_set.labels.tolist() for name, image_set in sets.items()},
    }
    if kept is not None:
        record["kept"] = dict(kept)
    return Splits(official.name, sets["train"], sets["val"], sets["test"], record, tuple(notes))


def find_again(official: Official, record: SplitRecord, need: Sequence[str]) -> Splits | None:
    """The splits of a record, found by what their images are.

    What was added to a source since, images and classes, is left out, so that an earlier run has the images that it
    had, with the labels that they had. A split that is not in ``need`` may lack images. None where a split in
    ``need`` lacks some, and where the record does not say what its images are.
    """
    labels = _renumbered(official.train.classes, record["classes"])
    if labels is None or "content" not in record or "cut_from" not in record:
        return None
    parts: dict[str, Part] = {}
    places: dict[str, dict[tuple[int, int], list[int]]] = {}
    sets: dict[str, ImageSet] = {}
    for split in SPLITS:
        origin = record["cut_from"][split]
        images = official.sets.get(origin)
        if origin not in parts:
            parts[origin] = Part.whole(origin, images or official.train, record["split_seed"], record.get("version", 1))
            places[origin] = {} if images is None else _places(parts[origin], labels, "labels" in record)
        wanted = zip(_unpacked(record["content"][split]).tolist(), _labels(record, split), strict=False)
        rows = np.array(
            [there.pop(0) if (there := places[origin].get(each)) else -1 for each in wanted], dtype=np.int64
        )
        if len(rows) != len(record["ids"][split]) or (split in need and (rows < 0).any()):
            return None
        again = replace(parts[origin], rows=rows[rows >= 0]).gathered(None)
        earlier = torch.from_numpy(labels)[again.labels]
        sets[split] = replace(again, labels=earlier, classes=tuple(record["classes"]))
    now: SplitRecord = {**record, "sha256": {name: content_hash(image_set) for name, image_set in sets.items()}}
    return Splits(official.name, sets["train"], sets["val"], sets["test"], now, tuple(record["notes"]))


def _places(part: Part, labels: np.ndarray, told_apart: bool) -> dict[tuple[int, int], list[int]]:
    """The rows of each content with its earlier label, or with -1 for any; those of new classes are left out."""
    found: dict[tuple[int, int], list[int]] = {}
    earlier = labels[part.images.labels.numpy()]
    for row in np.flatnonzero(earlier >= 0).tolist():
        found.setdefault((int(part.content[row]), int(earlier[row]) if told_apart else -1), []).append(row)
    return found


def _labels(record: SplitRecord, split: str) -> list[int]:
    """A split's labels; -1 for all in the records of earlier runs, which lack them."""
    return record["labels"][split] if "labels" in record else [-1] * len(record["ids"][split])


def _renumbered(now: Sequence[str], then: Sequence[str]) -> np.ndarray | None:
    """The earlier label of each class, int64, -1 for a new one; None where classes are gone.

    If there are as many classes under other names, they are taken to be the same ones.
    """
    if set(then) <= set(now):
        return np.array([then.index(name) if name in then else -1 for name in now], dtype=np.int64)
    return np.arange(len(now)) if len(now) == len(then) else None


def _cut(
    parts: dict[str, Part], name: str, plan: str, val: float | int, test: float | int, kept: Kept | None
) -> list[str]:
    """Make three of a source's own parts, in place, as `make_splits` says; returns notes."""
    notes = []
    if plan == "val-from-test":
        if "test" not in parts:
            raise UserError(f"{name} has no official test split: plan 'val-from-test' needs one")
        if "val" in parts:
            notes.append("the source's own val split is unused under plan 'val-from-test'")
        parts["test"], parts["val"] = parts["test"].cut(VAL_FROM_TEST, "val", kept)
        notes.append(CUT_FROM_TEST)
    elif plan == "default":
        if "test" not in parts:
            parts["train"], parts["test"] = parts["train"].cut(test, "test", kept)
        if "val" not in parts:
            parts["train"], parts["val"] = parts["train"].cut(val, "val", kept)
    else:
        raise UserError(f"unknown plan '{plan}': use default or val-from-test")
    return notes


def sizes(official: Official, *, val: float | int, test: float | int) -> dict[str, int]:
    """How many images `make_splits` puts into each split under plan "default": counted, which takes no time.

    Raises the same UserError for a class with too few images.
    """
    counts = {name: each.class_counts().numpy() for name, each in official.sets.items()}
    for purpose, amount in (("test", test), ("val", val)):
        if purpose not in counts:
            counts[purpose] = quotas(counts["train"], official.train.classes, amount, purpose)
            counts["train"] = counts["train"] - counts[purpose]
    return {name: int(counts[name].sum()) for name in SPLITS}


def content_hash(image_set: ImageSet) -> str:
    """sha256 (hex) of all pixels, then all labels as little-endian int64, in the set's order."""
    digest = hashlib.sha256()
    for block in torch.split(image_set.images, 4096):
        digest.update(np.ascontiguousarray(block.numpy()).data)
    digest.update(np.ascontiguousarray(image_set.labels.numpy().astype("<i8")).data)
    return digest.hexdigest()


def _unpacked(content: str) -> np.ndarray:
    """uint64 digests from a record's content."""
    return np.frombuffer(bytes.fromhex(content), dtype="<u8")


def _stayed(content: Mapping[str, np.ndarray], before: Kept) -> str:
    """How many images an earlier run had, and how many are new. Raises UserError where it had none of them."""
    known = np.isin(np.concatenate([*content.values()]), np.concatenate([*before.values()]))
    if not known.any():
        raise UserError(
            "data.keep_split: none of that run's images is here: name a run of these pictures, or, if it was begun "
            "with another version of the splits, set data.split_version to that of its recipe.toml"
        )
    stayed, new = plural(int(known.sum()), "image"), plural(int((~known).sum()), "new one")
    return f"{stayed} stayed in the split that an earlier run had them in, {new} cut in addition"


def _shared(content: Mapping[str, np.ndarray], sets: Mapping[str, ImageSet]) -> list[str]:
    """A line for each way in which the same picture is where it should not be: in two splits, or in two classes."""
    lines = []
    for first, second in (("train", "test"), ("train", "val"), ("val", "test")):
        if count := int(np.isin(content[second], content[first]).sum()):
            lines.append(
                f"{count:,} of the {plural(len(content[second]), f'{second} image')} {'is' if count == 1 else 'are'} "
                f"in {first} too, so {second}'s scores are too good: `thirtytwo data scan` names identical pictures"
            )
    everything = np.concatenate([content[name] for name in SPLITS])
    labels = np.concatenate([sets[name].labels.numpy() for name in SPLITS])
    _, group = np.unique(everything, return_inverse=True)
    pairs = np.unique(np.stack([group, labels]), axis=1)[0]
    if count := int((np.bincount(pairs) > 1).sum()):
        lines.append(
            f"{count:,} picture{'s are' if count > 1 else ' is'} in more than one class, so at least one label of "
            f"{'each' if count > 1 else 'it'} is wrong: `thirtytwo data scan` names them"
        )
    return lines
