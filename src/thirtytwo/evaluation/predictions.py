"""Predict once, derive every figure from the predictions."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import softmax

from thirtytwo.files import pack_arrays, read_arrays


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model said about a split: every metric and figure derives from this.

    Attributes:
        logits: float32 (N, K), before softmax.
        labels: int64 (N,), the truth.
        classes: K names.
        ids: int64 (N,): each image's position in the set that its source read.
        split: "train", "val" or "test".
        views: how many augmented views of each image the logits average; 1 is none.
    """

    logits: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    ids: np.ndarray
    split: str
    views: int = 1

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def probabilities(self) -> np.ndarray:
        """float64 (N, K): softmax of the logits."""
        return softmax(self.logits.astype(np.float64), axis=1)

    @property
    def predicted(self) -> np.ndarray:
        """int64 (N,): the most probable class."""
        return self.logits.argmax(axis=1)

    @property
    def correct(self) -> np.ndarray:
        """bool (N,)."""
        return self.predicted == self.labels


def pack(plain: Predictions, tta: Predictions | None) -> bytes:
    """An .npz file of ``logits``, ``labels``, ``ids``, ``classes`` and, with views, ``logits_tta`` and ``views``."""
    arrays = {"logits": plain.logits, "labels": plain.labels, "ids": plain.ids, "classes": np.array(plain.classes)}
    if tta is not None:
        arrays |= {"logits_tta": tta.logits, "views": np.array(tta.views)}
    return pack_arrays(arrays)


def load(path: Path) -> tuple[Predictions, Predictions | None]:
    """Read what `pack` packed: the plain predictions and those with test-time augmentation, if any.

    Raises UserError when the file is missing or damaged.
    """
    arrays = read_arrays(path, "logits", "labels", "ids", "classes")
    labels, ids, classes = arrays["labels"], arrays["ids"], tuple(arrays["classes"].tolist())
    plain = Predictions(arrays["logits"], labels, classes, ids, path.stem)
    if "logits_tta" not in arrays:
        return plain, None
    return plain, Predictions(arrays["logits_tta"], labels, classes, ids, path.stem, int(arrays["views"]))
