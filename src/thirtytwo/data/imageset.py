"""Images and labels in memory: the one form that every data source is converted to."""

import hashlib
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from thirtytwo.data.content import DIGEST, content_digests
from thirtytwo.errors import UserError
from thirtytwo.words import plural


def to_float(images: Tensor, device: torch.device) -> Tensor:
    """Pixels as networks take them: uint8 (N, C, H, W) -> float32 in 0..1, on ``device``, channels_last in memory."""
    return images.to(device).to(torch.float32, memory_format=torch.channels_last).div_(255)


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images of one size.

    Attributes:
        images: uint8 (N, C, H, W), C is 1 (grey) or 3 (RGB). May be backed by a memory-mapped file.
        labels: int64 (N,), each in [0, K).
        classes: the K class names, in label order.
        ids: int64 (N,), each image's position in the set that its source read. Survives `select`, so that a
            prediction can be traced back to its picture.
        paths: each image's file, relative to the folder that its source is, where it has a file of its own.
        digests: "V16" (N, 2), from `content_digests` of what each image was before it was resized or converted; None
            where nothing was.

    >>> import torch
    >>> from thirtytwo import ImageSet
    >>> images = ImageSet.of(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 1, 1]), ("cat", "dog"))
    >>> images.class_counts()
    tensor([1, 3])
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    ids: Tensor
    paths: tuple[str, ...] | None = None
    digests: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        images: Tensor,
        labels: Tensor,
        classes: tuple[str, ...],
        paths: tuple[str, ...] | None = None,
        digests: np.ndarray | None = None,
    ) -> "ImageSet":
        """A whole set as its source read it: ids are 0..N-1. Raises UserError if the parts do not match."""
        _require_kinds(images, labels, classes)
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
            raise UserError(
                f"images must be uint8 (N, 1 or 3, H, W), not {images.dtype} {tuple(images.shape)}: convert them first"
            )
        if labels.shape != (len(images),):
            raise UserError(
                f"{plural(len(images), 'image')} but labels of shape {tuple(labels.shape)}: give one label per image"
            )
        labels = labels.to(torch.int64)
        outside = (labels < 0) | (labels >= len(classes))
        if outside.any():
            first = int(outside.nonzero()[0])
            raise UserError(
                f"label {int(labels[first])} of image {first} is out of range: "
                f"{len(classes)} classes need labels 0 to {len(classes) - 1}"
            )
        return cls(images, labels, tuple(classes), torch.arange(len(images)), paths, digests)

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        colour, (height, width) = "grey" if self.channels == 1 else "RGB", self.size
        return (
            f"<ImageSet: {plural(len(self), f'{colour} image')} {height}x{width}, {plural(len(self.classes), 'class')}>"
        )

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (RGB)."""
        return self.images.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.images.shape[2], self.images.shape[3]

    def order_hash(self) -> str:
        """sha256 (hex) of the labels and of the files' own names, in order: the same at any image size and location."""
        digest = hashlib.sha256(np.ascontiguousarray(self.labels.numpy().astype("<i8")).data)
        for path in self.paths or ():
            digest.update(b"\0" + os.fsencode(Path(path).name))
        return digest.hexdigest()

    def select(self, indices: Tensor | np.ndarray) -> "ImageSet":
        """The images at ``indices`` (int64 positions in this set), in that order."""
        indices = torch.as_tensor(indices, dtype=torch.int64)
        paths = None if self.paths is None else tuple(self.paths[i] for i in indices.tolist())
        return replace(
            self,
            images=self.images[indices],
            labels=self.labels[indices],
            ids=self.ids[indices],
            paths=paths,
            digests=None if self.digests is None else self.digests[indices.numpy()],
        )

    def class_counts(self) -> Tensor:
        """int64 (K,): images per class."""
        return torch.bincount(self.labels, minlength=len(self.classes))

    def named_counts(self) -> dict[str, int]:
        """Images per class, by the names of all classes."""
        return dict(zip(self.classes, self.class_counts().tolist(), strict=True))

    def pixel_counts(self) -> Tensor:
        """int64 (C, 256): how often each pixel value occurs. Block by block, so that a mapped set stays on disk."""
        counts = torch.zeros(self.channels, 256, dtype=torch.int64)
        for block in torch.split(self.images, 4096):
            for c in range(self.channels):
                counts[c] += torch.bincount(block[:, c].reshape(-1), minlength=256)
        return counts

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Channel mean and standard deviation of the pixels, each float32 (C,) in units of 0..1; exact."""
        levels = torch.arange(256, dtype=torch.float64)
        counts = self.pixel_counts().double()
        weights = counts / counts.sum(1, keepdim=True)
        mean = weights @ levels
        std = (weights * (levels - mean[:, None]) ** 2).sum(1).sqrt()
        return (mean / 255).float(), (std / 255).float()

    def content(self) -> np.ndarray:
        """The `digests`: "V16" (N, 2), or where there are none those of the pixels."""
        return self.pixel_digests() if self.digests is None else self.digests

    def pixel_digests(self) -> np.ndarray:
        """`content_digests` of the pixels as they are, "V16" (N, 2)."""
        digests = bytearray()
        labels = self.labels.tolist()
        for start in range(0, len(self), 4096):  # blocks, so that a memory-mapped set stays on disk
            block = np.ascontiguousarray(self.images[start : start + 4096].numpy())
            for image, label in zip(block, labels[start : start + 4096], strict=True):
                digests += content_digests(DIGEST(image.data), label)
        return np.frombuffer(bytes(digests), dtype="V16").reshape(-1, 2)


def _require_kinds(images: object, labels: object, classes: object) -> None:
    """Raise UserError unless these are tensors and class names, each its own: programs may pass anything."""
    if not (isinstance(images, Tensor) and isinstance(labels, Tensor) and isinstance(classes, tuple | list)):
        kinds = ", ".join(type(each).__name__ for each in (images, labels, classes))
        raise UserError(f"an image set needs a tensor of images, a tensor of labels and class names, not {kinds}")
    if odd := [name for name in classes if not isinstance(name, str)]:
        raise UserError(f"class {odd[0]!r} has no name: give texts")
    if twice := [name for name, count in Counter(classes).items() if count > 1]:
        raise UserError(f"two classes have the same name, {twice[0]!r}: give each its own")


@dataclass(frozen=True, eq=False)
class Official:
    """What a data source holds, in its own official splits, before `split.make_splits` cuts them further.

    Attributes:
        name: what reports call it, such as ``CIFAR-10 (JPEG)``.
        train: all that may be trained on.
        val: the source's own validation split, or None.
        test: the source's own test split, or None.
        notes: one line each on what was done to the pictures (resized, converted, skipped).

    >>> from thirtytwo.data.load import load
    >>> official = load("digits")
    >>> official.name, len(official.train), official.test
    ('digits', 1797, None)
    """

    name: str
    train: ImageSet
    val: ImageSet | None = None
    test: ImageSet | None = None
    notes: tuple[str, ...] = ()

    @property
    def sets(self) -> dict[str, ImageSet]:
        """The splits that it has, by name: "train", and "val" and "test" where they exist."""
        found = {"train": self.train, "val": self.val, "test": self.test}
        return {name: each for name, each in found.items() if each is not None}

    def __repr__(self) -> str:
        return f"<{self.name}: {', '.join(f'{name} {each!r}' for name, each in self.sets.items())}>"
