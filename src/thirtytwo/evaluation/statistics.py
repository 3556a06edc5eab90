"""Statistics of the runs of several seeds together: for an arm of a study, beside its mean and spread.

A statistic is a frozen dataclass whose fields are its settings, called with the predictions of one split by seed.
Register one with ``@statistics.register_as``, and the report of every study has it (``docs/extending.md``).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from thirtytwo.errors import UserError
from thirtytwo.evaluation.estimate import Estimate, wilson
from thirtytwo.evaluation.predictions import Predictions
from thirtytwo.registry import Registry


class Statistic(ABC):
    """Called with an arm's predictions for the same images by seed, it gives an `Estimate`; None where undefined.

    Attributes:
        unit: "%" for a fraction of 1 that is shown in percent; else the unit's name, or "" where it has none.
    """

    unit: str = "%"

    @property
    @abstractmethod
    def title(self) -> str:
        """Its name in tables, as inside a sentence: ``accuracy of the ensemble``."""

    @abstractmethod
    def __call__(self, runs: Mapping[int, Predictions]) -> Estimate | None:
        """The statistic of these runs, with its 95 % interval."""


statistics: Registry[Statistic] = Registry("statistic")


def of_runs(runs: Mapping[int, Predictions]) -> dict[str, Estimate]:
    """Every registered statistic that is defined for these runs, by name."""
    found = {}
    for name in statistics:
        each = statistics.build(name)(runs)
        if each is not None:
            if not isinstance(each, Estimate):
                raise UserError(f"statistic '{name}': gave {type(each).__name__}, not an Estimate or None")
            found[name] = each.checked(f"statistic '{name}'")
    return found


@statistics.register_as("ensemble")
@dataclass(frozen=True)
class Ensemble(Statistic):
    """Accuracy of the mean of the seeds' probabilities (a deep ensemble, Lakshminarayanan et al. 2017).

    With Wilson's interval. It is not defined for a single seed.
    """

    title = "accuracy of the seeds' mean probabilities"

    def __call__(self, runs: Mapping[int, Predictions]) -> Estimate | None:
        """The share of images that the mean of the probabilities predicts right."""
        if len(runs) < 2:
            return None
        first, *_ = runs.values()
        mean = np.mean([each.probabilities for each in runs.values()], axis=0)
        return wilson(int((mean.argmax(axis=1) == first.labels).sum()), len(first))


@statistics.register_as("agreement")
@dataclass(frozen=True)
class Agreement(Statistic):
    """The share of images that all seeds call the same class, right or wrong, with Wilson's interval.

    It is not defined for a single seed.
    """

    title = "images that all seeds call the same"

    def __call__(self, runs: Mapping[int, Predictions]) -> Estimate | None:
        """The share of images with the same answer from all seeds."""
        if len(runs) < 2:
            return None
        said = np.array([each.predicted for each in runs.values()])
        return wilson(int((said == said[0]).all(axis=0).sum()), said.shape[1])
