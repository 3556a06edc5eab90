"""NumPy's .npz archives with the key names of Keras (``x_train``) or MedMNIST (``train_images``)."""

from pathlib import Path

import numpy as np

from thirtytwo.arrays import ARRAY_ERRORS
from thirtytwo.data.arrays import as_images, as_labels, official
from thirtytwo.data.imageset import Official
from thirtytwo.errors import UserError

_KEYS = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels"), ("images", "labels"), ("x", "y")),
    "val": (("x_val", "y_val"), ("x_valid", "y_valid"), ("val_images", "val_labels")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
}


def read(path: Path) -> Official:
    """Read images (N, H, W), (N, H, W, 1 or 3) or (N, 1 or 3, H, W), and labels (N,) or (N, 1).

    Pixels may be uint8, bool, wider integers in 0..255, uint16, or floats in 0..1 or 0..255. Labels are 0 to K-1, or
    names. Pickled arrays are refused. Raises UserError for anything else.
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
    except ARRAY_ERRORS as error:
        raise UserError(f"{path}: truncated, or not an .npz file of plain arrays ({error})") from None
    if "train" not in found:
        raise UserError(
            f"{path} holds {keys or 'nothing'}: expected x_train and y_train, or train_images and train_labels"
        )
    images = {split: as_images(x, f"{path}: {split} images") for split, (x, _) in found.items()}
    labels = {split: as_labels(y, f"{path}: {split} labels") for split, (_, y) in found.items()}
    return official(path.stem, str(path), images, labels)
