"""Predict once, derive every figure from the predictions."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from thirtytwo.arrays import damaged, pack_arrays, read_arrays
from thirtytwo.errors import UserError
from thirtytwo.records import MOST_VIEWS, SplitRecord
from thirtytwo.words import plural


@dataclass(frozen=True, eq=False)
class Predictions:
    """A model's predictions for a split: every metric and figure derives from them.

    Attributes:
        logits: float32 (N, K), before softmax.
        labels: int64 (N,), the truth.
        classes: K names.
        ids: int64 (N,): each image's position in the set that its source read.
        split: "train", "val" or "test"; "" for logits from elsewhere.
        views: how many augmented views of each image the logits average; 1 is none.
        paths: each image's file, relative to the data's folder; None for images that have no file of their own, and in
            runs older than this.

    >>> import thirtytwo
    >>> run = thirtytwo.train("digits-cnn", epochs=1, model="cnn2(width=2)", progress=False)
    >>> plain, averaged = run.run.predictions("val")
    >>> isinstance(plain, thirtytwo.Predictions), plain.logits.shape, averaged
    (True, (144, 10), None)
    """

    logits: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    ids: np.ndarray
    split: str
    views: int = 1
    paths: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def probabilities(self) -> np.ndarray:
        """Softmax of the logits, float64 (N, K)."""
        from scipy.special import softmax  # takes 0.2 s, for which listing runs need not wait

        probabilities: np.ndarray = softmax(self.logits.astype(np.float64), axis=1)
        return probabilities

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class, int64 (N,). Of equal logits the lower class comes first."""
        predicted: np.ndarray = self.logits.argmax(axis=1)
        return predicted

    @property
    def correct(self) -> np.ndarray:
        """Whether each image is predicted right, bool (N,)."""
        correct: np.ndarray = self.predicted == self.labels
        return correct

    def table(self) -> list[dict[str, str | int]]:
        """One row per image: id, path where it has one, true and predicted class, their probabilities, right or not."""
        confidence = self.probabilities.max(axis=1).tolist()
        of_truth = self.probabilities[np.arange(len(self)), self.labels].tolist()
        rows: list[dict[str, str | int]] = [
            {
                "id": id_,
                "truth": self.classes[truth],
                "predicted": self.classes[predicted],
                "confidence": f"{sure:.6g}",
                "of_truth": f"{true:.6g}",
                "right": "true" if truth == predicted else "false",
            }
            for id_, truth, predicted, sure, true in zip(
                self.ids.tolist(), self.labels.tolist(), self.predicted.tolist(), confidence, of_truth, strict=True
            )
        ]
        if self.paths is None:
            return rows
        return [{"path": path, **row} for path, row in zip(self.paths, rows, strict=True)]


def of(logits: ArrayLike, labels: ArrayLike, classes: Sequence[str] | None = None) -> Predictions:
    """Logits and labels from anywhere, checked, as predictions for images that are numbered in their order.

    Args:
        logits: float (N, K), before softmax, an array or a tensor.
        labels: the true class of each image, integers (N,) in 0..K-1.
        classes: the K class names; numbers if left out.

    Raises UserError for a wrong shape, type or range, for values that are not finite, and for probabilities in place of
    logits.
    """
    said, truth = _array("logits", logits), _array("labels", labels)
    if said.ndim != 2 or said.shape[0] < 1 or said.shape[1] < 2:
        raise UserError(f"logits: have shape {said.shape}: give (N, K), one row per image and one column per class")
    if not np.issubdtype(said.dtype, np.floating):
        raise UserError(f"logits: are {said.dtype}: give floating-point numbers, as they come before softmax")
    if truth.shape != said.shape[:1]:
        raise UserError(
            f"labels: have shape {truth.shape}, the logits {said.shape}: give ({len(said)},), one per image"
        )
    if not np.issubdtype(truth.dtype, np.integer):
        raise UserError(f"labels: are {truth.dtype}: give integers, the number of each image's class")
    k = said.shape[1]
    if truth.min() < 0 or truth.max() >= k:
        raise UserError(
            f"labels: go from {truth.min()} to {truth.max()}: for {plural(k, 'class')} they must be in 0..{k - 1}"
        )
    if not np.isfinite(said).all():
        raise UserError("logits: are not all finite: leave such images out")
    if said.min() >= 0 and np.allclose(said.sum(axis=1), 1, rtol=0, atol=1e-3):
        raise UserError(
            "logits: are probabilities, their rows sum to 1: give what comes before softmax, or their logarithms"
        )
    names = tuple(map(str, range(k) if classes is None else classes))
    if len(names) != k:
        raise UserError(
            f"classes: {plural(len(names), 'name')} for logits of {plural(k, 'column')}: give one per column"
        )
    said = said.astype(np.float32) if said.dtype == np.float16 else said
    return Predictions(said, truth.astype(np.int64), names, np.arange(len(said)), "")


def _array(name: str, given: Any) -> np.ndarray:
    torch = sys.modules.get("torch")  # without it nothing is a tensor
    try:
        if torch is not None and isinstance(given, torch.Tensor):
            tensor = given.detach().cpu()
            return np.asarray(tensor.float() if tensor.dtype == torch.bfloat16 else tensor)
        return np.asarray(given)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{name}: cannot be read as an array: {error}") from None


def pack(plain: Predictions, tta: Predictions | None) -> bytes:
    """An .npz file of ``logits``, ``labels``, ``ids`` and ``classes``.

    Where there are any, also ``paths`` and, with views, ``logits_tta`` and ``views``.
    """
    arrays = {"logits": plain.logits, "labels": plain.labels, "ids": plain.ids, "classes": np.array(plain.classes)}
    if plain.paths is not None:
        arrays["paths"] = np.array(plain.paths)
    if tta is not None:
        arrays |= {"logits_tta": tta.logits, "views": np.array(tta.views)}
    return pack_arrays(arrays)


def load(path: Path, cut: SplitRecord | None = None) -> tuple[Predictions, Predictions | None]:
    """Read what `pack` packed: the plain predictions and those with test-time augmentation, if any.

    Raises UserError when the file is missing or damaged, or about other images or classes than split.json, ``cut``.
    """
    shapes = {"logits": "float N K", "labels": "int N", "ids": "int N", "classes": "text K"}
    more = {"logits_tta": "float N K", "views": "int", "paths": "text N"}
    arrays = read_arrays(path, shapes | more, optional=more)
    labels, ids, classes = arrays["labels"], arrays["ids"], tuple(arrays["classes"].tolist())
    if not len(labels) or labels.min() < 0 or labels.max() >= len(classes):
        raise damaged(path, f"labels must be 0 to {len(classes) - 1}")
    if len({*classes}) < len(classes):
        raise damaged(path, "two classes have the same name")
    if cut and (cut["classes"] != list(classes) or cut["ids"].get(path.stem) != ids.tolist()):
        raise damaged(path, "has other images or classes than split.json")
    paths = tuple(arrays["paths"].tolist()) if "paths" in arrays else None
    plain = Predictions(arrays["logits"], labels, classes, ids, path.stem, paths=paths)
    if "logits_tta" not in arrays:
        return plain, None
    averaged = int(arrays.get("views", 0))
    if not 2 <= averaged <= MOST_VIEWS:
        raise damaged(path, f"averages {plural(averaged, 'view')}")
    return plain, replace(plain, logits=arrays["logits_tta"], views=averaged)
