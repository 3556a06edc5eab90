"""From encoded pictures, in separate files or in parquet rows, to image sets: decoded once, then cached."""

import hashlib
import json
import os
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from thirtytwo.data import cache, parallel, picture, reading
from thirtytwo.data.formats import EXTRAS
from thirtytwo.data.imageset import ImageSet, Official
from thirtytwo.data.picture import BadPicture, Fit, Header, Size, Unreadable
from thirtytwo.data.reading import Source
from thirtytwo.data.waiting import counted
from thirtytwo.errors import UserError
from thirtytwo.words import plural

FORMAT = 5
"""Increased whenever more is kept beside the pixels, or files go to other splits, so that no older cache is used."""


@dataclass(frozen=True)
class Encoded:
    """The pictures of one split, not decoded yet.

    Attributes:
        labels: int64 (N,).
        pictures: when called, yields the N pictures in order; may be called repeatedly.
        paths: the file of each picture, if each has one.
    """

    labels: np.ndarray
    pictures: Callable[[], Iterator[Source]]
    paths: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Gathered:
    """Encoded pictures with labels: what a class-folder tree or a parquet folder holds.

    Attributes:
        name: what reports call it.
        root: the path that the user gave.
        classes: names, in label order.
        splits: "train", and "val" and "test" where they exist.
        files: (path, size in bytes, modification time in ns) of each file, from which the cache key is derived.
        notes: one line each on what was ignored.
        columns: what else the cache key is derived from: the columns that are read of each file.
    """

    name: str
    root: Path
    classes: tuple[str, ...]
    splits: Mapping[str, Encoded]
    files: Sequence[tuple[str, int, int]]
    notes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    def __len__(self) -> int:
        return sum(len(split.labels) for split in self.splits.values())

    def pictures(self) -> Iterator[Source]:
        """Every picture of every split, in order."""
        return chain.from_iterable(split.pictures() for split in self.splits.values())


def decode_all(
    gathered: Gathered,
    *,
    size: int | None = None,
    channels: Literal[1, 3] | None = None,
    fit: Fit = "pad",
    bad_images: Literal["fail", "skip"] = "fail",
    memory_limit: int | None = None,
    by_bytes: bool = False,
) -> Official:
    """Decode every picture, or take the pixels from the cache.

    Raises UserError when a picture cannot be read and ``bad_images`` is "fail", when none can be read, when a class
    is left with no picture to train on, and when val or test is left with none at all.
    """
    where = str(gathered.root.resolve())
    settings = [FORMAT, picture.VERSION, size, channels, fit, bad_images, where, list(gathered.files), gathered.columns]
    settings += ["by bytes"] * by_bytes
    settings += [extra.name for extra in EXTRAS if extra.installed]  # which pictures cannot be read depends on them
    key = hashlib.blake2b(json.dumps(settings).encode(), digest_size=16).hexdigest()
    images, description = cache.get(
        key, lambda key: _build(key, gathered, size, channels, fit, bad_images, by_bytes), memory_limit
    )
    bad = np.array(description["bad"], dtype=np.int64)
    digests = np.frombuffer(b64decode(description["digests"]), dtype="V16").reshape(len(images), 2)
    splits, first, taken, inside = {}, 0, 0, str(gathered.root).rstrip(os.sep) + os.sep
    for name, split in gathered.splits.items():
        good = np.setdiff1d(np.arange(len(split.labels)), bad - first)
        paths = None if split.paths is None else tuple(split.paths[i].removeprefix(inside) for i in good.tolist())
        labels = torch.from_numpy(split.labels[good])
        rows = slice(taken, taken + len(good))
        splits[name] = ImageSet.of(images[rows], labels, gathered.classes, paths, digests[rows])
        first, taken = first + len(split.labels), rows.stop
    _require_every_class(gathered, splits["train"])
    for name, image_set in splits.items():
        if len(image_set) == 0:
            raise UserError(
                f"{gathered.root}: its {name} split has no picture that can be read: repair some, or remove the split"
            )
    notes = (*gathered.notes, *description["notes"])
    return Official(gathered.name, splits["train"], splits.get("val"), splits.get("test"), notes)


def _build(
    key: str,
    gathered: Gathered,
    size: int | None,
    channels: Literal[1, 3] | None,
    fit: Fit,
    bad_images: str,
    by_bytes: bool,
) -> None:
    found = parallel.each(reading.header, gathered.pictures(), len(gathered))
    headers = list(counted(found, len(gathered), "reading headers"))
    good = [header for header in headers if isinstance(header, Header)]
    if not headers:
        raise UserError(f"{gathered.root} holds no pictures: expected at least one per class")
    if not good:
        first = next(header for header in headers if isinstance(header, BadPicture))
        raise UserError(
            f"none of the {plural(len(headers), 'picture')} in {gathered.root} can be read; the first is {first}"
        )
    target = picture.choose_size({header.size for header in good}, size)
    depth: Literal[1, 3] = channels or (1 if all(header.grey for header in good) else 3)
    bad: dict[int, BadPicture] = {}
    digests = bytearray()

    def decoded() -> Iterator[np.ndarray]:
        labels = chain.from_iterable(split.labels.tolist() for split in gathered.splits.values())
        pictures = zip(gathered.pictures(), labels, headers, strict=True)
        decode = partial(reading.pixels_and_digests, size=target, channels=depth, fit=fit, by_bytes=by_bytes)
        found = parallel.each(decode, pictures, len(headers))
        for block in parallel.blocks(enumerate(counted(found, len(headers), "decoding")), parallel.BLOCK):
            bad.update((i, result) for i, result in block if isinstance(result, BadPicture))
            read = [result for _, result in block if not isinstance(result, BadPicture)]
            digests.extend(b"".join(digest for _, digest in read))
            if read:
                yield np.stack([pixels for pixels, _ in read])

    def describe() -> dict[str, Any]:
        _report(gathered, list(bad.values()), len(headers), bad_images)
        read = [header for i, header in enumerate(headers) if i not in bad and isinstance(header, Header)]
        notes = [*_treatments(read, target, depth, fit), *_skipped(list(bad.values()))]
        return {"bad": list(bad), "notes": notes, "digests": b64encode(digests).decode()}

    cache.store(key, (len(headers), depth, *target), decoded(), describe)


def _report(gathered: Gathered, bad: Sequence[BadPicture], total: int, bad_images: str) -> None:
    if len(bad) == total:
        raise UserError(f"none of the {plural(total, 'picture')} in {gathered.root} can be read; the first is {bad[0]}")
    if bad and bad_images == "fail":
        count = f"{len(bad)} of {plural(total, 'picture')} cannot be read"
        raise Unreadable(
            bad[0],
            f"{bad[0]} ({count}): see `thirtytwo data scan {gathered.root}`, or "
            "leave them out (data.bad_images=skip; `thirtytwo data info --bad-images skip`)",
        )


def _require_every_class(gathered: Gathered, train: ImageSet) -> None:
    for name, count in zip(train.classes, train.class_counts().tolist(), strict=True):
        if count == 0:
            raise UserError(
                f"{gathered.root}: class '{name}' has no picture to train on: add some, or remove the class"
            )


def _skipped(bad: Sequence[BadPicture]) -> list[str]:
    if not bad:
        return []
    shown = "; ".join(map(str, bad[:3])) + (f"; and {len(bad) - 3} more" if len(bad) > 3 else "")
    return [f"left out {plural(len(bad), 'picture')} that cannot be read: {shown}"]


def _treatments(headers: Sequence[Header], size: Size, channels: int, fit: Fit) -> list[str]:
    counts: Counter[str] = Counter()
    for header in headers:
        shape = f"{size[0]}x{size[1]}"
        counts[f"resized to {shape} ({fit})"] += header.size != size
        counts["converted from CMYK"] += header.mode == "CMYK"
        counts["converted from grey to RGB"] += header.grey and channels == 3
        counts["converted from colour to grey"] += not header.grey and channels == 1
        counts["turned upright according to EXIF"] += header.turned
        counts["with transparency, put on a white background"] += header.transparent
        counts["scaled from more than 8 bits per pixel"] += header.mode.startswith("I") or header.mode == "F"
        counts["with several frames, of which the first is used"] += header.animated
    return [f"{plural(count, 'picture')} {what}" for what, count in counts.items() if count]
