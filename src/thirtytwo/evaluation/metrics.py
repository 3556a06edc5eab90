"""Every score of a split, each with its 95 % interval, as pure functions of its predictions.

The intervals are about the test *sample*: how far the score could move had other images of the same kind been drawn.
They say nothing about the spread over random seeds. ``docs/metrics.md`` has the formulas and where they come from.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
from scipy.special import log_softmax

from thirtytwo.evaluation.predictions import Predictions
from thirtytwo.rng import numpy_generator

Z = 1.959963984540054
"""The standard normal's 97.5 % point: every interval here holds 95 %."""
RESAMPLES = 1000
"""Bootstrap draws an interval: 0.1 s on 10,000 images; the ends repeat to about a twentieth of the width."""
BINS = 15
"""Equal-width bins of confidence, as in Guo et al. (2017), so that figures compare with the literature's."""


@dataclass(frozen=True)
class Estimate:
    """A score and its 95 % interval.

    Attributes:
        value: the score on the images at hand; nan when there was nothing to measure (``n`` is 0).
        low, high: the interval's ends.
        n: how many images (or, for a class, how many of them) the score is a mean over.
    """

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class ClassScores:
    """One class of a split: ``support`` images are of it, and ``predicted`` were called it."""

    name: str
    support: int
    predicted: int
    precision: Estimate
    recall: Estimate
    f1: Estimate


@dataclass(frozen=True)
class ReliabilityBin:
    """The images whose highest probability lies in (low, high]: their mean confidence, and how many were right."""

    low: float
    high: float
    confidence: float
    accuracy: Estimate


def scores(predictions: Predictions) -> dict[str, Estimate]:
    """Every score of a split, in this order: accuracy, top5 (with more than 5 classes), nll, ece, macro_f1.

    All are fractions of 1, but nll, which is in nats. The same predictions give the same intervals.
    """
    top5 = top_k(predictions, 5)
    return {
        "accuracy": accuracy(predictions),
        **({} if top5 is None else {"top5": top5}),
        "nll": nll(predictions),
        "ece": ece(predictions),
        "macro_f1": macro_f1(predictions),
    }


def wilson(successes: int, n: int) -> Estimate:
    """The share ``successes / n`` with Wilson's score interval (Wilson 1927), which never leaves [0, 1].

    With ``n`` = 0 nothing is known: the value is nan, the interval [0, 1].
    """
    if n == 0:
        return Estimate(nan, 0.0, 1.0, 0)
    share = successes / n
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Estimate(share, low, high, n)


def accuracy(predictions: Predictions) -> Estimate:
    """The share of images whose most probable class is the true one, with Wilson's interval."""
    return wilson(int(predictions.correct.sum()), len(predictions))


def top_k(predictions: Predictions, k: int) -> Estimate | None:
    """The share of images whose true class is among the ``k`` most probable ones, with Wilson's interval.

    None with ``k`` classes or fewer, where it is 1 by construction. Of equal logits the lower class comes first, as
    in `Predictions.predicted`.
    """
    if len(predictions.classes) <= k:
        return None
    logits, labels = predictions.logits, predictions.labels[:, None]
    true = np.take_along_axis(logits, labels, axis=1)
    ahead = (logits > true) | ((logits == true) & (np.arange(logits.shape[1]) < labels))
    return wilson(int((ahead.sum(axis=1) < k).sum()), len(predictions))


def nll(predictions: Predictions) -> Estimate:
    """Mean negative log-likelihood of the true class in nats (the cross-entropy), with the mean's normal interval."""
    n = len(predictions)
    if n == 0:
        return Estimate(nan, nan, nan, 0)
    log_p = log_softmax(predictions.logits.astype(np.float64), axis=1)
    losses = -np.take_along_axis(log_p, predictions.labels[:, None], axis=1)
    mean = float(losses.mean())
    half = Z * float(losses.std(ddof=1)) / sqrt(n) if n > 1 else nan
    return Estimate(mean, max(0.0, mean - half), mean + half, n)


def confusion(predictions: Predictions) -> np.ndarray:
    """int64 (K, K): how many images of the row's class were called the column's."""
    k = len(predictions.classes)
    return np.bincount(predictions.labels * k + predictions.predicted, minlength=k * k).reshape(k, k)


def recalls(matrix: np.ndarray) -> np.ndarray:
    """float (K,): the share of each class that a confusion matrix has right; nan for a class without images."""
    support = matrix.sum(axis=1)
    return np.divide(matrix.diagonal(), support, out=np.full(len(matrix), np.nan), where=support > 0)


def per_class(predictions: Predictions) -> list[ClassScores]:
    """Precision, recall and F1 of each class, in class order, each with a Wilson interval.

    F1 = 2J / (1 + J) grows with J = TP / (TP + FP + FN), a plain share, so J's interval carries over (Lam et al. 2023,
    the indirect Wilson method). What cannot be measured, such as the recall of a class without images, is nan.
    """
    matrix = confusion(predictions)
    hits, support, predicted = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    return [
        ClassScores(
            name,
            support=s,
            predicted=p,
            precision=wilson(hit, p),
            recall=wilson(hit, s),
            f1=_f1(hit, s + p - hit),
        )
        for name, hit, s, p in zip(
            predictions.classes, hits.tolist(), support.tolist(), predicted.tolist(), strict=True
        )
    ]


def _f1(hits: int, union: int) -> Estimate:
    jaccard = wilson(hits, union)
    value, low, high = (2 * j / (1 + j) for j in (jaccard.value, jaccard.low, jaccard.high))
    return Estimate(value, low, high, union)


def macro_f1(predictions: Predictions) -> Estimate:
    """The mean F1 of the classes that occur or were predicted, with a percentile bootstrap interval.

    Where every image is right no resample can hold a mistake: accuracy's interval then stands in for it.
    """
    k, n = len(predictions.classes), len(predictions)
    if n == 0:
        return Estimate(nan, 0.0, 1.0, 0)
    labels, predicted, hits = predictions.labels, predictions.predicted, predictions.correct
    if hits.all():
        return accuracy(predictions)

    def mean_f1(rows: np.ndarray) -> float:
        truth = labels[rows]
        total = np.bincount(truth, minlength=k) + np.bincount(predicted[rows], minlength=k)
        found = total > 0
        return float((2 * np.bincount(truth[hits[rows]], minlength=k)[found] / total[found]).mean())

    low, high = np.quantile(_bootstrap(mean_f1, n), [0.025, 0.975]).tolist()
    return Estimate(mean_f1(np.arange(n)), low, high, n)


def ece(predictions: Predictions) -> Estimate:
    """Expected calibration error: the mean distance between confidence and accuracy over 15 bins (Guo et al. 2017).

    Resampling adds noise, and noise can only raise this score, so the percentile bootstrap misses the truth of a
    well-calibrated model every time. The interval is therefore the basic bootstrap's, ``2 ece - quantile``, clipped
    at 0; and it reaches down to 0 when a perfectly calibrated model shows as much (`calibrated_ece`). Where every
    image is right no resample can hold a mistake: the high end then is the gap to accuracy's own low end.
    """
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
        high = max(high, float(confidence.mean()) - accuracy(predictions).low)
    return Estimate(value, low, high, n)


def calibrated_ece(predictions: Predictions) -> Estimate:
    """The calibration error that these confidences would show on ``n`` images, were they perfectly calibrated.

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
