"""NumPy's .npz archives with the key names of Keras (``x_train``) or MedMNIST (``train_images``)."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from thirtytwo.data.imageset import ImageSet, Official
from thirtytwo.data.picture import eight_bit
from thirtytwo.errors import UserError

_KEYS = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels"), ("images", "labels"), ("x", "y")),
    "val": (("x_val", "y_val"), ("x_valid", "y_valid"), ("val_images", "val_labels")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
}


def read(path: Path) -> Official:
    """Read images (N, H, W), (N, H, W, 1 or 3) or (N, 1 or 3, H, W), and labels (N,) or (N, 1).

    Pixels may be uint8, bool, wider integers in 0..255, uint16, or floats in 0..1 or 0..255. Labels are 0 to K-1, or
    names. Pickled arrays are refused. Raises UserError for everything else.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {
                split: (archive[x], archive[y])
                for split, names in _KEYS.items()
                for x, y in names
                if x in archive.files and y in archive.files
            }
            keys = ", ".join(archive.files)
    except (OSError, ValueError, EOFError, KeyError, AttributeError, TypeError, OverflowError, zipfile.BadZipFile,
            zlib.error, MemoryError, RuntimeError) as error:  # fmt: skip
        # RuntimeError is zipfile's for an encrypted archive, and, as NotImplementedError, for a kind of zip it lacks.
        raise UserError(f"{path}: truncated, or no .npz file of plain arrays ({error})") from None
    if "train" not in found:
        raise UserError(
            f"{path} holds {keys or 'nothing'}: expected x_train and y_train, or train_images and train_labels"
        )
    images = {split: _images(x, f"{path}: {split} images") for split, (x, _) in found.items()}
    labels = {split: _labels(y, f"{path}: {split} labels") for split, (_, y) in found.items()}
    return official(path.stem, str(path), images, labels)


def official(name: str, where: str, images: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]) -> Official:
    """Arrays as image sets. Without class names, they are the labels that train has: 0 to K-1 without a gap.

    Args:
        name: what reports call it.
        where: what messages call it.
        images: split -> uint8 (N, C, H, W).
        labels: split -> (N,), whole numbers or text.
    """
    present = np.unique(labels["train"])
    if present.dtype.kind != "U":
        _require_dense(labels["train"], present, where)
    sets = {}
    for split, y in labels.items():
        unknown = np.flatnonzero(~np.isin(y, present))
        if len(unknown):
            raise UserError(
                f"{where}: label {y[unknown[0]]} of {split} image {unknown[0]} is out of range: "
                f"train has labels 0 to {len(present) - 1}"
                if y.dtype.kind != "U"
                else f"{where}: label '{y[unknown[0]]}' of {split} image {unknown[0]} is not among train's"
            )
        if len(y) != len(images[split]):
            raise UserError(f"{where}: {len(images[split])} {split} images but {len(y)} labels: one label an image")
        numbers = torch.from_numpy(np.searchsorted(present, y))
        sets[split] = ImageSet.of(torch.from_numpy(images[split]), numbers, tuple(str(label) for label in present))
    return Official(name, sets["train"], sets.get("val"), sets.get("test"))


def _require_dense(labels: np.ndarray, present: np.ndarray, where: str) -> None:
    """Training labels that are numbers (``present``: each once, sorted) must be 0 to K-1."""
    if present.min(initial=0) < 0:
        first = int(np.argmax(labels < 0))
        raise UserError(
            f"{where}: label {labels[first]} of train image {first} is out of range: number the classes 0 to K-1"
        )
    if len(gaps := np.flatnonzero(present != np.arange(len(present)))):
        raise UserError(
            f"{where}: labels run to {present[-1]}, but no training image has label {gaps[0]}: "
            "number the classes 0 to K-1 without a gap"
        )


def _images(array: np.ndarray, what: str) -> np.ndarray:
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[3] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in (1, 3) or array.size == 0:
        raise UserError(f"{what} have shape {array.shape}: expected (N, H, W), (N, H, W, 3) or (N, 3, H, W)")
    if array.dtype.kind not in "buif":
        raise UserError(f"{what} hold {array.dtype}: expected numbers")
    low, high = array.min(), array.max()
    if array.dtype.kind in "iu" and array.dtype != np.uint16:
        if low < 0 or high > 255:
            raise UserError(f"{what} hold whole numbers from {low} to {high}: expected 0 to 255")
        array = array.astype(np.uint8)
    if array.dtype.kind == "f" and not (low >= 0 and high <= 255):
        raise UserError(f"{what} hold numbers from {low:g} to {high:g}: expected 0 to 1, or 0 to 255")
    return np.ascontiguousarray(eight_bit(array))


def _labels(array: np.ndarray, what: str) -> np.ndarray:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise UserError(f"{what} have shape {array.shape}: expected one label an image, (N,) or (N, 1)")
    if array.dtype.kind not in "iuU" or array.size == 0:
        raise UserError(f"{what} hold {array.size} values of {array.dtype}: expected whole numbers or names")
    return array if array.dtype.kind == "U" else array.astype(np.int64)
