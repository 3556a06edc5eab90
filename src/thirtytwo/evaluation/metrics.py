"""Scores of a split, each with its 95 % interval, as pure functions of its predictions.

A metric is a frozen dataclass whose fields are its settings, called with `Predictions`. Register one with
``@metrics.register_as``, and every run that is scored has it, in tables, reports and files (``docs/extending.md``).

The intervals are about the test *sample*: how far the score could move had other images of the same kind been drawn.
They say nothing about the spread over random seeds. ``docs/metrics.md`` has the formulas and their sources.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan
from typing import Annotated, Literal, overload

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from thirtytwo.errors import UserError
from thirtytwo.evaluation.estimate import Estimate, Z, normal_mean, wilson
from thirtytwo.evaluation.predictions import Predictions, of
from thirtytwo.registry import Registry
from thirtytwo.rng import numpy_generator
from thirtytwo.words import plural

RESAMPLES = 1000
"""Bootstrap draws per interval: 0.1 s on 10,000 images; the ends repeat to about a twentieth of the width."""
BINS = 15
"""Equal-width bins of confidence, as in Guo et al. (2017), so that figures compare with the literature's."""


class Metric(ABC):
    """A score of a split: called with predictions, it gives its `Estimate`; None where it is not defined for them.

    Attributes:
        unit: "%" for a fraction of 1 that is shown in percent; else the unit's name, or "" where it has none.
        better: whether higher or lower values are better.
    """

    unit: str = "%"
    better: Literal["higher", "lower"] = "higher"

    def __init_subclass__(cls) -> None:
        """Raises UserError for a class attribute that cannot be what it has to be."""
        super().__init_subclass__()
        if cls.better not in ("higher", "lower"):
            raise UserError(f"metric {cls.__name__}: better={cls.better!r}: give 'higher' or 'lower'")
        if not isinstance(cls.unit, str) or not isinstance(cls.title, str | property):
            raise UserError(f"metric {cls.__name__}: its title and unit must be texts")

    @property
    @abstractmethod
    def title(self) -> str:
        """Its name in tables, as inside a sentence: ``accuracy``, ``Brier score``."""

    @property
    @abstractmethod
    def interval(self) -> str:
        """How its interval is computed, in a word or two: ``Wilson``."""

    @abstractmethod
    def __call__(self, predictions: Predictions) -> Estimate | None:
        """The score of these predictions, with its 95 % interval."""


class ImageMetric(Metric):
    """A metric that is the mean of a score per image: its interval follows, and runs can be compared by it.

    Attributes:
        binary: whether the score of an image is either 0 or 1. The mean then has Wilson's interval, else the normal
            one.
    """

    binary: bool = False

    @abstractmethod
    def of_images(self, predictions: Predictions) -> np.ndarray | None:
        """The score of each image, bool or float (N,); None where it is not defined for such predictions."""

    @property
    def interval(self) -> str:
        """``Wilson`` or ``normal``."""
        return "Wilson" if self.binary else "normal"

    def by_image(self, predictions: Predictions) -> np.ndarray | None:
        """What `of_images` gives, float64 (N,). Raises UserError for another shape, type or number of scores."""
        found = self.of_images(predictions)
        if found is None:
            return None
        if not isinstance(found, np.ndarray) or found.shape != (len(predictions),) or found.dtype.kind not in "biuf":
            shape = f"an array {found.shape} of {found.dtype}" if isinstance(found, np.ndarray) else repr(found)[:40]
            raise UserError(
                f"{self.title}: of_images gave {shape}, not one number for each of {plural(len(predictions), 'image')}"
            )
        scores = found.astype(np.float64)
        if self.binary and not np.isin(scores, (0, 1)).all():
            raise UserError(f"{self.title}: is binary, but of_images gave numbers other than 0 and 1")
        return scores

    def __call__(self, predictions: Predictions) -> Estimate | None:
        """The mean over the images."""
        found = self.by_image(predictions)
        if found is None:
            return None
        return wilson(int(found.sum()), len(found)) if self.binary else normal_mean(found)


metrics: Registry[Metric] = Registry("metric")


@overload
def scores(predictions: Predictions, /) -> dict[str, Estimate]: ...
@overload
def scores(logits: ArrayLike, labels: ArrayLike, /, classes: Sequence[str] | None = None) -> dict[str, Estimate]: ...
def scores(
    said: Predictions | ArrayLike, labels: ArrayLike | None = None, /, classes: Sequence[str] | None = None
) -> dict[str, Estimate]:
    """Every registered score, by name: of predictions, or of logits and labels from anywhere.

    In this order: accuracy, balanced_accuracy (unless all classes are of one size), top5 (with more than 5 classes),
    nll, ece, macro_f1, then those that users registered. The first six are fractions of 1, except nll, which is in
    nats. The same predictions give the same intervals.

    Args:
        said: predictions; or logits, float (N, K), before softmax, an array or a tensor.
        labels: the true class of each image, integers (N,) in 0..K-1.
        classes: the K class names; numbers if left out.

    Raises UserError for logits and labels of a wrong shape, type or range, and for values that are not finite.
    """
    predictions = said if isinstance(said, Predictions) else of(said, () if labels is None else labels, classes)
    found = {name: score(name, predictions) for name in metrics}
    return {name: each for name, each in found.items() if each is not None}


def score(name: str, predictions: Predictions) -> Estimate | None:
    """One registered score, or None where it is not defined for such predictions.

    Raises UserError when the metric gives something else, or an interval that does not hold its value.
    """
    found = metrics.build(name)(predictions)
    if found is not None and not isinstance(found, Estimate):
        raise UserError(f"metric '{name}': gave {type(found).__name__}, not an Estimate(value, low, high, n) or None")
    return None if found is None else found.checked(f"metric '{name}'")


def described(name: str) -> tuple[str, str, str]:
    """Title, unit and kind of interval of a score; for one that is stored, but not registered here, only its name."""
    if name not in metrics:
        return name, "", ""
    metric = metrics.build(name)
    return metric.title, metric.unit, metric.interval


def image_metric(name: str) -> ImageMetric:
    """The metric of this name, to compare runs by. Raises UserError when it is not the mean of a score per image."""
    metric = metrics.build(name)
    if not isinstance(metric, ImageMetric):
        raise UserError(f"score '{name}': is not a mean over images: compare runs by {', '.join(image_scores())}")
    return metric


def image_scores() -> list[str]:
    """The names of the metrics that runs can be compared by."""
    return [name for name in metrics if isinstance(metrics.build(name), ImageMetric)]


@metrics.register_as("accuracy")
@dataclass(frozen=True)
class Accuracy(ImageMetric):
    """The share of images whose most probable class is the true one."""

    title = "accuracy"
    binary = True

    def of_images(self, predictions: Predictions) -> np.ndarray:
        """Whether each image is predicted right, bool (N,)."""
        return predictions.correct


@metrics.register_as("balanced_accuracy")
@dataclass(frozen=True)
class BalancedAccuracy(Metric):
    """The mean recall of the classes that occur: each counts the same, however few its images are.

    It is not defined where every class has as many images, since it is the accuracy there. Its interval is Wilson's for
    as many images as would give the same variance, made wider where few images decide it: an effective sample size with
    Satterthwaite's degrees of freedom (Korn and Graubard 1998). The variance is estimated from each class's recall with
    z²/2 images added to either side, so that no class counts as certain.
    """

    title = "balanced accuracy"
    interval = "Wilson, effective n"

    def __call__(self, predictions: Predictions) -> Estimate | None:
        """The score, with its interval; None where it is the accuracy."""
        from scipy.stats import t

        matrix = confusion(predictions)
        support = matrix.sum(axis=1)
        occurs = support > 0
        if np.unique(support[occurs]).size < 2:
            return None
        hits, n = matrix.diagonal()[occurs], support[occurs]
        added = (hits + Z**2 / 2) / (n + Z**2)
        variances = added * (1 - added) / n / len(n) ** 2
        freedom = variances.sum() ** 2 / (variances**2 / np.maximum(n - 1, 1)).sum()
        effective = float(added.mean() * (1 - added.mean()) / variances.sum() * (Z / t.ppf(0.975, freedom)) ** 2)
        value = float((hits / n).mean())
        found = wilson(value * effective, effective)
        return Estimate(value, found.low, found.high, len(predictions))


@dataclass(frozen=True)
class TopK(ImageMetric):
    """The share of images whose true class is among the ``k`` most probable ones.

    It is not defined for ``k`` classes or fewer, where it would be 1 by construction.
    """

    k: Annotated[int, Field(ge=1)]
    binary = True

    @property
    def title(self) -> str:
        """``top-5 accuracy``."""
        return f"top-{self.k} accuracy"

    def of_images(self, predictions: Predictions) -> np.ndarray | None:
        """Whether each image's true class is among them, bool (N,). Of equal logits the lower class comes first."""
        if len(predictions.classes) <= self.k:
            return None
        logits, labels = predictions.logits, predictions.labels[:, None]
        true = np.take_along_axis(logits, labels, axis=1)
        ahead = (logits > true) | ((logits == true) & (np.arange(logits.shape[1]) < labels))
        found: np.ndarray = ahead.sum(axis=1) < self.k
        return found


@metrics.register_as("top5")
def top5() -> TopK:
    """The share of images whose true class is among the 5 most probable ones."""
    return TopK(5)


@metrics.register_as("nll")
@dataclass(frozen=True)
class NLL(ImageMetric):
    """Mean negative log-likelihood of the true class (the cross-entropy)."""

    title = "negative log-likelihood"
    unit = "nats"
    better = "lower"

    def of_images(self, predictions: Predictions) -> np.ndarray:
        """The negative log-likelihood of each image, float64 (N,), in nats."""
        from scipy.special import log_softmax

        log_p = log_softmax(predictions.logits.astype(np.float64), axis=1)
        return -np.take_along_axis(log_p, predictions.labels[:, None], axis=1)[:, 0]


@metrics.register_as("ece")
@dataclass(frozen=True)
class ECE(Metric):
    """Expected calibration error: the mean distance between confidence and accuracy over 15 bins (Guo et al. 2017).

    Resampling adds noise, and noise can only raise this score, so the percentile bootstrap misses the truth of a
    well-calibrated model every time. The interval is therefore the basic bootstrap's, ``2 ece - quantile``, clipped
    at 0; and it reaches down to 0 when a perfectly calibrated model shows as much (`calibrated_ece`). Where every
    image is right no resample can contain a mistake: the high end then is the gap to accuracy's own low end.
    """

    title = f"calibration error, {BINS} bins"
    interval = "bootstrap, basic"
    better = "lower"

    def __call__(self, predictions: Predictions) -> Estimate:
        """The score, with its bootstrap interval."""
        n = len(predictions)
        if n == 0:
            return Estimate(nan, 0.0, 1.0, 0)
        confidence, bins = _confidence(predictions)
        gaps = predictions.correct - confidence

        def error(rows: np.ndarray) -> float:
            return _binned_error(bins[rows], gaps[rows])

        value = error(np.arange(n))
        lower, upper = np.quantile(_bootstrap(error, n), [0.025, 0.975]).tolist()
        low = 0.0 if value <= calibrated_ece(predictions).high else max(0.0, 2 * value - upper)
        high = max(value, 2 * value - lower)
        if predictions.correct.all():
            high = max(high, float(confidence.mean()) - wilson(n, n).low)
        return Estimate(value, low, high, n)


@metrics.register_as("macro_f1")
@dataclass(frozen=True)
class MacroF1(Metric):
    """The mean F1 of the classes that occur or were predicted.

    Its interval is the percentile bootstrap's. Where every image is right no resample can contain a mistake:
    accuracy's interval then replaces it.
    """

    title = "macro F1"
    interval = "bootstrap, percentile"

    def __call__(self, predictions: Predictions) -> Estimate:
        """The score, with its bootstrap interval."""
        k, n = len(predictions.classes), len(predictions)
        if n == 0:
            return Estimate(nan, 0.0, 1.0, 0)
        labels, predicted, hits = predictions.labels, predictions.predicted, predictions.correct
        if hits.all():
            return wilson(n, n)

        def mean_f1(rows: np.ndarray) -> float:
            truth = labels[rows]
            total = np.bincount(truth, minlength=k) + np.bincount(predicted[rows], minlength=k)
            found = total > 0
            return float((2 * np.bincount(truth[hits[rows]], minlength=k)[found] / total[found]).mean())

        low, high = np.quantile(_bootstrap(mean_f1, n), [0.025, 0.975]).tolist()
        return Estimate(mean_f1(np.arange(n)), low, high, n)


@dataclass(frozen=True)
class ReliabilityBin:
    """The images whose highest probability is in (low, high]: their mean confidence, and how many were right."""

    low: float
    high: float
    confidence: float
    accuracy: Estimate


def confusion(predictions: Predictions) -> np.ndarray:
    """How many images of the row's class were predicted as the column's, int64 (K, K)."""
    k = len(predictions.classes)
    counts = np.bincount(predictions.labels * k + predictions.predicted, minlength=k * k)
    return counts.reshape(k, k)


def recalls(matrix: np.ndarray) -> np.ndarray:
    """The share of each class that is right in a confusion matrix, float (K,); nan for a class without images."""
    support = matrix.sum(axis=1)
    found = np.full(len(matrix), np.nan)
    np.divide(matrix.diagonal(), support, out=found, where=support > 0)
    return found


def calibrated_ece(predictions: Predictions) -> Estimate:
    """The calibration error that these confidences would show if they were perfectly calibrated.

    Mean and central 95 % of `RESAMPLES` draws in which each image is right with the probability it was given
    (consistency resampling, Broecker and Smith 2007). A model at or below it shows no miscalibration.
    """
    n = len(predictions)
    confidence, bins = _confidence(predictions)
    draw = numpy_generator(0, "calibrated", n)
    errors = [_binned_error(bins, (draw.random(n) < confidence) - confidence) for _ in range(RESAMPLES)]
    low, high = np.quantile(errors, [0.025, 0.975]).tolist()
    return Estimate(float(np.mean(errors)), low, high, n)


def reliability(predictions: Predictions) -> list[ReliabilityBin]:
    """The bins of `ece`, lowest confidence first; an empty one has confidence nan and n = 0."""
    confidence, bins = _confidence(predictions)
    counts = np.bincount(bins, minlength=BINS).tolist()
    hits = np.bincount(bins[predictions.correct], minlength=BINS).tolist()
    sums = np.bincount(bins, weights=confidence, minlength=BINS).tolist()
    return [
        ReliabilityBin(b / BINS, (b + 1) / BINS, sums[b] / n if n else nan, wilson(hits[b], n))
        for b, n in enumerate(counts)
    ]


def _confidence(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Each image's highest probability, and its bin: the bins are open below and closed above."""
    confidence = predictions.probabilities.max(axis=1)
    return confidence, np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


def _binned_error(bins: np.ndarray, gaps: np.ndarray) -> float:
    return float(np.abs(np.bincount(bins, weights=gaps, minlength=BINS)).sum() / len(gaps))


def _bootstrap(statistic: Callable[[np.ndarray], float], n: int) -> np.ndarray:
    """``statistic`` of `RESAMPLES` draws with replacement of ``n`` rows (Efron 1979). The draws depend on n alone."""
    draw = numpy_generator(0, "bootstrap", n)
    return np.array([statistic(draw.integers(n, size=n)) for _ in range(RESAMPLES)])
