"""NumPy's .npz archives with the key names of Keras (``x_train``) or MedMNIST (``train_images``)."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from thirtytwo.arrays import ARRAY_ERRORS
from thirtytwo.data.arrays import as_images, as_labels, note_on_range, official
from thirtytwo.data.imageset import Official
from thirtytwo.data.layout import SPLITS, listed, split_named
from thirtytwo.errors import UserError

Kind = Literal["images", "labels"]
KINDS: tuple[Kind, ...] = ("images", "labels")


def read(path: Path) -> Official:
    """Read images (N, H, W), (N, H, W, 1 or 3) or (N, 1 or 3, H, W), and labels (N,) or (N, 1).

    Pixels may be uint8, bool, wider integers in 0..255, uint16, or floats in 0..1 or 0..255. Labels are 0 to K-1, or
    names. Pickled arrays are refused. Raises UserError for anything else.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            keys = sorted(archive.files)
            pairs = _pairs(keys, path)
            arrays = {key: archive[key] for pair in pairs.values() for key in pair}
            for key, array in arrays.items():
                if not isinstance(array, np.ndarray):
                    raise ValueError(f"{key} is not an array")
    except ARRAY_ERRORS as error:
        reason = str(error) or type(error).__name__
        raise UserError(f"{path}: truncated, or not an .npz file of plain arrays ({reason}): write it again") from None
    images = {split: as_images(arrays[x], f"{path}: {split} images") for split, (x, _) in pairs.items()}
    labels = {split: as_labels(arrays[y], f"{path}: {split} labels") for split, (_, y) in pairs.items()}
    unused = [key for key in keys if key not in arrays]
    notes = (f"ignored {listed(unused)} in {path.name}: no images with labels of train, val or test",) * bool(unused)
    for x, _ in pairs.values():
        notes += note_on_range(arrays[x], f"{x} of {path.name}")
    return replace(official(path.stem, str(path), images, labels), notes=notes)


def _pairs(keys: list[str], path: Path) -> dict[str, tuple[str, str]]:
    """The names of the images and of the labels of each split. Raises UserError when train has none, or has two."""
    found: dict[tuple[str | None, Kind], list[str]] = defaultdict(list)
    for key in keys:
        if held := _kind(key):
            found[split_named(key), held].append(key)
    if ("train", "images") not in found:
        for kind in KINDS:
            found["train", kind] = [key for key in found[None, kind] if key.lower() in ("images", "labels", "x", "y")]
    for (split, what), several in found.items():
        if split and len(several) > 1:
            raise UserError(f"{path} holds {what} of {split} more than once ({listed(several)}): leave one of them")
    pairs = {}
    for each in SPLITS:
        x, y = found[each, "images"], found[each, "labels"]
        if x and y:
            pairs[each] = x[0], y[0]
    if "train" not in pairs:
        raise UserError(
            f"{path} holds {listed(keys) or 'nothing'}: expected x_train and y_train, or train_images and train_labels"
        )
    return pairs


def _kind(key: str) -> Kind | None:
    """What an array of this name holds (``x_train``, ``train_labels``, ``images``, ...); None if neither."""
    first, last = key.lower().partition("_")[0], key.lower().rpartition("_")[2]
    if first == "x" or last == "images":
        return "images"
    return "labels" if first == "y" or last == "labels" else None
