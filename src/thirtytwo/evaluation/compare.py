"""Groups of runs against each other, as pure functions of their predictions.

Two kinds of chance are kept apart. Over *seeds*: another draw of weights, order and augmentation gives another
accuracy; intervals are Student's. Over *images*: another test sample would have given another accuracy; the paired
bootstrap resamples the images. ``docs/studies.md`` says when to read which.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan, sqrt
from typing import Literal

import numpy as np
from scipy import optimize, stats

from thirtytwo.errors import UserError
from thirtytwo.evaluation.metrics import Estimate
from thirtytwo.evaluation.predictions import Predictions
from thirtytwo.rng import numpy_generator

LEVEL = 0.05
"""The share of false alarms, over all comparisons of a table together (Holm), that is accepted."""
POWER = 0.8
"""The probability of a find at which a difference counts as one that could have been shown."""
RESAMPLES = 10_000
"""Bootstrap draws over images."""


@dataclass(frozen=True, eq=False)
class Group:
    """Runs that differ in their seed alone: the predictions of one split by seed."""

    name: str
    runs: Mapping[int, Predictions]

    @property
    def accuracies(self) -> dict[int, float]:
        """Accuracy by seed, as a share."""
        return {seed: float(each.correct.mean()) for seed, each in sorted(self.runs.items())}

    @property
    def hits(self) -> np.ndarray:
        """float (N,): for each image the share of the runs that are right about it."""
        return np.mean([each.correct for each in self.runs.values()], axis=0)


@dataclass(frozen=True)
class Difference:
    """How much more accurate a group is than another one.

    Attributes:
        against: the other group's name.
        value: mean difference of accuracy with its 95 % interval over seeds; nan ends with a single pair of runs.
        over_images: the same difference with its 95 % interval over images (paired percentile bootstrap).
        test: "paired t" (over the seeds that both have), "Welch's t" (they share none) or "McNemar" (one pair of runs,
            of the only seed that both have: the exact test on the images that one of them alone gets right, which
            speaks of these two runs only).
        p: its two-sided p-value; nan where the differences have no spread that could be judged.
        p_holm: the same, corrected by Holm (1979) for all comparisons of the table.
        detectable: the true difference that the test would have found with 80 % probability, given the spread seen and
            the level of Holm's first step; nan with McNemar.
    """

    against: str
    value: Estimate
    over_images: Estimate
    test: str
    p: float
    p_holm: float
    detectable: float

    @property
    def shown(self) -> bool:
        """Whether the difference is beyond chance at `LEVEL`, corrected."""
        return self.p_holm < LEVEL


@dataclass(frozen=True)
class Compared:
    """One row of a comparison: a group, its accuracy (mean and 95 % interval over seeds), and its difference."""

    name: str
    accuracies: dict[int, float]
    accuracy: Estimate
    difference: Difference | None


def compare(groups: Sequence[Group], bases: Sequence[Group | None]) -> list[Compared]:
    """Each group beside the one of ``bases`` at its place; beside none where that is None.

    Raises UserError when the groups' runs were not scored on the same images, or two of them cannot be compared.
    """
    _require_same_images(groups)
    pairs = [(base, group) for base, group in zip(bases, groups, strict=True) if base]
    differences = [_difference(base, group, len(pairs)) for base, group in pairs]
    corrected = holm([each.p for each in differences])
    found = (replace(each, p_holm=p) for each, p in zip(differences, corrected, strict=True))
    return [
        Compared(
            group.name,
            group.accuracies,
            mean_over_seeds(list(group.accuracies.values())),
            next(found) if base else None,
        )
        for base, group in zip(bases, groups, strict=True)
    ]


def mean_over_seeds(values: Sequence[float]) -> Estimate:
    """The mean with Student's 95 % interval; with one value the ends are nan: nothing is known of the spread."""
    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return Estimate(mean, nan, nan, n)
    half = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1)) / sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm 1979, step-down Bonferroni). A nan counts as one and stays nan."""
    p = np.array(p_values, dtype=float)
    order = np.argsort(p)  # nan last
    steps = np.minimum(1, p[order] * (len(p) - np.arange(len(p))))
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(steps)
    return corrected.tolist()


def p_text(p: float) -> str:
    """A p-value as tables show it: two digits, and more where they would hide on which side of `LEVEL` it is.

    Below 1e-10 no more than that, since doubles may end at 0.
    """
    if p < 1e-10:
        return "< 1e-10"
    shown = (f"{p:.{digits}g}" for digits in range(2, 18))
    return next(text for text in shown if (float(text) < LEVEL) == (p < LEVEL))


def detectable(spread: float, n: int, level: float = LEVEL, *, groups: Literal[1, 2] = 1) -> float:
    """The true difference that a two-sided t test of ``level`` finds with probability `POWER`.

    Args:
        spread: standard deviation: of the ``n`` paired differences (``groups=1``), or of each of two groups of ``n``.
    """
    degrees = groups * (n - 1)
    if degrees < 1 or not spread > 0:
        return nan
    # Given the estimated spread, which scatters as chi, the mean has to pass this many standard errors. (Averaged over
    # its quantiles: SciPy's noncentral t gives nan in the far tail that Holm's level asks for.)
    quantiles = (np.arange(2000) + 0.5) / 2000
    bars = stats.t.ppf(1 - level / 2, degrees) * np.sqrt(stats.chi2.ppf(quantiles, degrees) / degrees)

    def power(shift: float) -> float:
        return float((stats.norm.sf(bars - shift) + stats.norm.cdf(-bars - shift)).mean())

    return optimize.brentq(lambda shift: power(shift) - POWER, 0, bars[-1] + 10) * spread * sqrt(groups / n)


def mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """Exact two-sided p-value (McNemar 1947) of two runs' right answers, bool (N,), on the same images.

    Of the images that one run alone gets right, each would be either's with probability one half.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second).pvalue)


def over_images(first: np.ndarray, second: np.ndarray) -> Estimate:
    """Mean of ``second - first``, float (N,) shares of right runs by image, with the paired percentile bootstrap.

    Images of the same difference are alike, so that a resample is one multinomial draw over the distinct differences.
    """
    n = len(first)
    values, counts = np.unique(second - first, return_counts=True)
    draws = numpy_generator(0, "bootstrap/paired", n).multinomial(n, counts / n, size=RESAMPLES) @ values / n
    low, high = np.quantile(draws, [0.025, 0.975]).tolist()
    return Estimate(float((second - first).mean()), low, high, n)


def _difference(base: Group, group: Group, comparisons: int) -> Difference:
    images = over_images(base.hits, group.hits)
    a, b = base.accuracies, group.accuracies
    seeds = sorted(a.keys() & b.keys())
    level = LEVEL / comparisons
    if len(seeds) > 1:
        paired = np.array([b[seed] - a[seed] for seed in seeds])
        spread = float(paired.std(ddof=1))
        p = float(stats.ttest_rel([b[s] for s in seeds], [a[s] for s in seeds]).pvalue) if spread > 1e-12 else nan
        value, test, least = mean_over_seeds(paired.tolist()), "paired t", detectable(spread, len(seeds), level)
        hits = [Group("", {s: each.runs[s] for s in seeds}).hits for each in (base, group)]
        images = over_images(*hits)
    elif min(len(a), len(b)) > 1:
        result = stats.ttest_ind(list(b.values()), list(a.values()), equal_var=False)
        interval = result.confidence_interval(0.95)
        p, test = float(result.pvalue), "Welch's t"
        value = Estimate(images.value, float(interval.low), float(interval.high), len(a) + len(b))
        spread = sqrt((np.var(list(a.values()), ddof=1) + np.var(list(b.values()), ddof=1)) / 2)
        least = detectable(spread, min(len(a), len(b)), level, groups=2)
    elif seeds or len(a) == len(b) == 1:
        first, second = (each.runs[seeds[0] if seeds else next(iter(each.runs))] for each in (base, group))
        images = over_images(first.correct.astype(float), second.correct.astype(float))
        p, test, least = mcnemar(first.correct, second.correct), "McNemar", nan
        value = Estimate(images.value, nan, nan, 1)
    else:
        raise UserError(
            f"'{base.name}' has seeds {_listed(a)}, '{group.name}' {_listed(b)}: to be compared, two groups need a "
            "seed in common, two or more seeds each, or a single run each"
        )
    return Difference(base.name, value, images, test, p, nan, least)


def _listed(seeds: Mapping[int, float]) -> str:
    return ", ".join(map(str, seeds))


def _require_same_images(groups: Sequence[Group]) -> None:
    runs = [(group.name, each) for group in groups for each in group.runs.values()]
    name, first = runs[0]
    for other, each in runs[1:]:
        same = np.array_equal(each.ids, first.ids) and np.array_equal(each.labels, first.labels)
        if not same or each.classes != first.classes:
            raise UserError(
                f"'{name}' and '{other}' were not scored on the same images of {first.split}: compare runs of one "
                "data set with the same plan, val, test and split_seed"
            )
