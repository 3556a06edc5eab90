"""Precision, recall and F1 of each class, with their intervals."""

from dataclasses import dataclass

from thirtytwo.evaluation.estimate import Estimate, wilson
from thirtytwo.evaluation.metrics import confusion
from thirtytwo.evaluation.predictions import Predictions


@dataclass(frozen=True)
class ClassScores:
    """One class of a split: ``support`` images belong to it, ``predicted`` images were predicted as it."""

    name: str
    support: int
    predicted: int
    precision: Estimate
    recall: Estimate
    f1: Estimate


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
