"""Images and labels in NumPy arrays, checked and converted to one form."""

from collections.abc import Mapping

import numpy as np
import torch

from thirtytwo.arrays import is_text
from thirtytwo.data.imageset import ImageSet, Official
from thirtytwo.data.picture import eight_bit, white
from thirtytwo.errors import UserError
from thirtytwo.words import plural


def official(name: str, where: str, images: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]) -> Official:
    """Arrays as image sets. The classes are named after train's labels: names, or 0 to K-1 without a gap.

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
            raise UserError(
                f"{where}: {plural(len(images[split]), f'{split} image')} but {plural(len(y), 'label')}: "
                "give one label per image"
            )
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


def as_images(array: np.ndarray, what: str) -> np.ndarray:
    """Images (N, H, W), (N, H, W, 1 or 3) or (N, 1 or 3, H, W) as uint8 (N, C, H, W); messages call them ``what``.

    Pixels may be uint8, bool, wider integers in 0..255, uint16, or floats in 0..1 or 0..255. Raises UserError for
    anything else.
    """
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


def note_on_range(array: np.ndarray, what: str) -> tuple[str, ...]:
    """A note if the pixels that `as_images` took use less than half of the range that it assumed for their type."""
    high = array.max().item()
    usual = 255 if array.dtype.kind in "iu" and array.dtype != np.uint16 else white(array)
    if 2 * high >= usual:
        return ()
    return (
        f"{what} are {array.dtype} with a largest value of {high:g}, read as 0 (black) to {usual:g} (white): "
        f"scale them if {high:g} is white",
    )


def as_labels(array: np.ndarray, what: str) -> np.ndarray:
    """Labels (N,) or (N, 1) as int64 or text (N,); messages call them ``what``. Raises UserError for anything else."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise UserError(f"{what} have shape {array.shape}: expected one label per image, (N,) or (N, 1)")
    if array.dtype.kind not in "iuU" or array.nbytes == 0:  # text of length 0 takes no room, however much it is
        raise UserError(f"{what} hold {array.size} values of {array.dtype}: expected whole numbers or names")
    if array.dtype.kind == "U":
        if not is_text(array):
            raise UserError(f"{what} hold names that are not text: write them again")
        return array
    if array.max() > np.iinfo(np.int64).max:
        raise UserError(f"{what} hold the number {array.max()}: number the classes 0 to K-1")
    return array.astype(np.int64)
