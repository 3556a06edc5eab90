"""Images that a Python program passes in, as a data source: arrays, a PyTorch dataset, image sets."""

import hashlib
import io
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from thirtytwo.data import picture, sources
from thirtytwo.data.arrays import as_images, as_labels, note_on_range, official
from thirtytwo.data.content import DIGEST, content_digests
from thirtytwo.data.imageset import ImageSet, Official
from thirtytwo.data.layout import SPLITS
from thirtytwo.data.picture import Fit
from thirtytwo.data.waiting import counted
from thirtytwo.errors import UserError
from thirtytwo.spec import OWN
from thirtytwo.words import plural

Images = ImageSet | Dataset[Any] | tuple[ArrayLike, ArrayLike]
"""Labelled images: a PyTorch dataset of (image, label), a pair of arrays or tensors (images, labels), an image set."""
GivenData = Official | Images | Mapping[str, Images]
"""Images that are split into train, val and test like any source's; or images by split, "train", "val" and "test"."""


@dataclass(frozen=True, eq=False)
class _Split:
    """Pictures uint8 (C, H, W), of one shape or several, with labels (N,) and the class names if known.

    Each digest has seen what its picture was when it was passed in; there are none where that is the picture itself.
    The notes are on how the pixels were read.
    """

    pictures: np.ndarray | list[np.ndarray]
    labels: np.ndarray
    classes: tuple[str, ...] | None
    digests: list[hashlib.blake2b] | None = None
    notes: tuple[str, ...] = ()


known: dict[str, GivenData] = {}


@sources.register_family(OWN)
class Given:
    """Sources that `register` named in this process."""

    def names(self) -> list[str]:
        """Their names, without the prefix."""
        return list(known)

    def get(self, name: str) -> Callable[..., Official]:
        """The source of that name. Raises UserError when nothing was registered under it."""
        if name not in known:
            raise UserError(
                f"data.source={OWN}{name}: these images came from a Python program: pass them again as data=... to "
                "thirtytwo.open_run or thirtytwo.resume"
            )

        def given(size: int | None, channels: Literal[1, 3] | None, fit: Fit) -> Official:
            return read(known[name], "data", size, channels, fit)

        return given


def register(data: GivenData, name: str | None = None) -> str:
    """The name under which ``data`` is a source from now on: ``name``, or one made from its type. It is kept in memory.

    Raises UserError for anything that is not one of the kinds in `GivenData`.
    """
    if name is None:
        label = type(data).__name__ if isinstance(data, Dataset) else "images"
        taken = (label if i == 1 else f"{label}-{i}" for i in range(1, len(known) + 2))
        name = OWN + next(each for each in taken if each not in known or _same(known[each], data))
    for part in _parts(data).values():
        _require_kind(part)
    known[name.removeprefix(OWN)] = data
    return name


def read(data: GivenData, where: str, size: int | None, channels: Literal[1, 3] | None, fit: Fit) -> Official:
    """``data`` as image sets, in one pass. ``size``, ``channels`` and ``fit`` as in `thirtytwo.data.load.load`.

    Raises UserError naming ``where`` for images and labels that do not match, and for what is not images.
    """
    if isinstance(data, Official):
        return data
    if isinstance(data, ImageSet):
        return Official("images", data)
    parts = _parts(data)
    if unknown := [split for split in parts if split not in SPLITS]:
        raise UserError(f"{where}: '{unknown[0]}' is not a split: give train, and val and test if you have them")
    if "train" not in parts:
        raise UserError(f"{where}: has no train images: give data={{'train': ..., 'test': ...}}")
    name = type(data).__name__ if isinstance(data, Dataset) else "images"
    read = {split: _read(each, f"{where}, {split}", size, channels, fit) for split, each in parts.items()}
    shapes = {tuple(each.shape[-2:]) for split in read.values() for each in split.pictures}
    target = picture.choose_size(shapes, size)
    depth: Literal[1, 3] = channels or (3 if any(p.shape[0] == 3 for s in read.values() for p in s.pictures) else 1)
    images = {split: _stacked(each.pictures, target, depth, fit) for split, each in read.items()}
    classes = read["train"].classes
    if classes is None:
        found = official(name, where, images, {split: each.labels for split, each in read.items()})
    else:
        sets = {
            split: ImageSet.of(torch.from_numpy(images[split]), torch.as_tensor(each.labels), classes)
            for split, each in read.items()
        }
        found = Official(name, sets["train"], sets.get("val"), sets.get("test"))
    identified = {
        split: replace(getattr(found, split), digests=_digests(each, getattr(found, split)))
        for split, each in read.items()
    }
    return replace(found, **identified, notes=tuple(note for split in read.values() for note in split.notes))


def _digests(part: _Split, images: ImageSet) -> np.ndarray | None:
    """What tells the images apart, whatever size they are now; None where they are as they were passed in."""
    if isinstance(part.pictures, np.ndarray):
        if part.pictures.shape == tuple(images.images.shape):
            return None
        return replace(images, images=torch.from_numpy(part.pictures)).pixel_digests()
    seen = zip(part.digests or (), images.labels.tolist(), strict=True)
    pairs = (content_digests(digest, label) for digest, label in seen)
    return np.frombuffer(b"".join(pairs), dtype="V16").reshape(-1, 2)


def as_png(image: object, what: str) -> bytes:
    """A picture in memory, which messages call ``what``, as a file's bytes, so that it is treated like any other.

    Takes a PIL image, an array (H, W), (H, W, 1), (H, W, 3), (H, W, 4) or a tensor (H, W), (C, H, W); pixels uint8 in
    0..255, or floats in 0..1. Raises UserError for anything else.
    """
    if isinstance(image, np.ndarray | Tensor):
        image = Image.fromarray(_pixels(image, what))
    if not isinstance(image, Image.Image):
        raise UserError(f"{what}: is a {type(image).__name__}: expected a PIL image, an array or a tensor")
    buffer = io.BytesIO()
    try:
        plain = image if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16") else image.convert("RGB")
        plain.save(buffer, "PNG", compress_level=0)
    except (ValueError, OSError, AttributeError) as error:  # a closed image, or one whose file is gone
        raise UserError(f"{what}: cannot be read ({error})") from None
    return buffer.getvalue()


def _pixels(image: np.ndarray | Tensor, what: str) -> np.ndarray:
    """uint8 (H, W), (H, W, 3) or (H, W, 4)."""
    array: np.ndarray = image.detach().cpu().numpy() if isinstance(image, Tensor) else image
    if array.ndim == 3 and isinstance(image, Tensor):
        array = array.transpose(1, 2, 0)
    if 0 in array.shape:
        raise UserError(f"{what}: has no pixels, its shape is {tuple(image.shape)}")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        expected = "(H, W) or (C, H, W)" if isinstance(image, Tensor) else "(H, W) or (H, W, 3)"
        raise UserError(f"{what}: {tuple(image.shape)} is not the shape of a picture: expected {expected}")
    if array.dtype.kind == "f":
        low, high = array.min(), array.max()
        if not (low >= 0 and high <= 1):
            raise UserError(
                f"{what}: has pixels from {low:g} to {high:g}: expected floats in 0..1, without normalisation, or uint8"
            )
        array = np.rint(array * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        raise UserError(f"{what}: pixels must be uint8 in 0..255 or floats in 0..1, not {array.dtype}")
    return array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array


def _parts(data: GivenData) -> Mapping[str, Any]:
    if isinstance(data, Official):
        return data.sets
    return data if isinstance(data, Mapping) else {"train": data}


def _same(known: GivenData, data: GivenData) -> bool:
    """Whether these are the same objects, so that one name serves for both."""

    def leaves(of: GivenData) -> list[int]:
        parts = _parts(of).values()
        return [id(leaf) for part in parts for leaf in (part if isinstance(part, tuple) else (part,))]

    return leaves(known) == leaves(data)


def _require_kind(part: object) -> None:
    if isinstance(part, str | Path):
        raise UserError(f"data={str(part)!r}: takes images: a folder, or a source by its name, goes in source=")
    pair = isinstance(part, tuple) and len(part) == 2
    if isinstance(part, IterableDataset) or (isinstance(part, Dataset) and not isinstance(part, Sized)):
        raise UserError(f"data={type(part).__name__}: has no length: give a dataset whose items can be indexed")
    if not pair and not isinstance(part, ImageSet | Dataset):
        raise UserError(
            f"data={type(part).__name__}: expected a pair of arrays (images, labels), a PyTorch dataset, an ImageSet, "
            "or these by split, {'train': ..., 'test': ...}"
        )


def _read(part: Images, what: str, size: int | None, channels: Literal[1, 3] | None, fit: Fit) -> _Split:
    if isinstance(part, ImageSet):
        return _Split(part.images.numpy(), part.labels.numpy(), part.classes)
    if isinstance(part, tuple):
        images, labels = (_array(each, f"{what} {name}") for each, name in zip(part, ("images", "labels"), strict=True))
        found = as_images(images, f"{what} images"), as_labels(labels, f"{what} labels")
        if len(found[0]) != len(found[1]):
            raise UserError(
                f"{what}: {plural(len(found[0]), 'image')} but {plural(len(found[1]), 'label')}: "
                "give one label per image"
            )
        return _Split(*found, None, notes=note_on_range(images, f"{what} images"))
    assert isinstance(part, Sized), "checked when it was registered"
    pictures: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    digests: list[hashlib.blake2b] = []
    length = _length(part, what)
    for i in counted(range(length), length, what):
        try:
            item = part[i]
        except Exception as error:  # a dataset of the user's own may raise anything
            raise UserError(f"{what}: item {i} cannot be read ({type(error).__name__}: {error})") from error
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise UserError(f"{what}: item {i} is not a pair (image, label)")
        file, name = as_png(item[0], f"{what}, item {i}"), f"{what}, item {i}"
        own = picture.decode(file, name=name)
        digests.append(DIGEST(own.tobytes()))
        if size is not None or channels is not None:
            asked = None if size is None else (size, size)
            own = picture.decode(file, size=asked, channels=channels, fit=fit, name=name)
        pictures.append(own)
        targets.append(np.asarray(item[1]))
    if not pictures:
        raise UserError(f"{what}: is empty")
    names = getattr(part, "classes", None)
    if odd := [i for i, each in enumerate(targets) if each.shape != targets[0].shape]:
        raise UserError(f"{what}: the label of item {odd[0]} has shape {targets[odd[0]].shape}, item 0's has not")
    labels = as_labels(np.array(targets), f"{what} labels")
    known = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    classes = tuple(names) if known and names and labels.dtype.kind != "U" else None  # text says the class itself
    return _Split(pictures, labels, classes, digests)


def _length(part: Sized, what: str) -> int:
    try:
        return len(part)
    except Exception as error:  # a dataset of the user's own may raise anything
        raise UserError(f"{what}: its length cannot be read ({type(error).__name__}: {error})") from error


def _array(values: ArrayLike | Tensor, what: str) -> np.ndarray:
    """An array; of whole numbers or text that are Python objects, as pandas has them, an array of these."""
    try:
        array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
        if array.dtype == object and array.ndim == 1:
            array = np.array(array.tolist())
    except Exception as error:  # anything may claim to be an array
        raise UserError(f"{what}: not an array ({error})") from error
    return array


def _stacked(
    pictures: np.ndarray | list[np.ndarray], size: tuple[int, int], channels: Literal[1, 3], fit: Fit
) -> np.ndarray:
    """uint8 (N, C, H, W) of pictures of any size."""
    if isinstance(pictures, np.ndarray):
        return _changed(pictures, size, channels, fit)
    return np.concatenate([_changed(each[None], size, channels, fit) for each in pictures])


def _changed(images: np.ndarray, size: tuple[int, int], channels: Literal[1, 3], fit: Fit) -> np.ndarray:
    images = picture.convert_channels(images, channels)
    return images if images.shape[-2:] == size else picture.resize(images, size, fit)
