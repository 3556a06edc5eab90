"""Compare groups of runs by any score per image, as pure functions of their predictions.

Two kinds of chance are kept apart. Over *seeds*: another draw of weights, order and augmentation gives another
score; intervals are Student's. Over *images*: another test sample would have given another score; the paired
bootstrap resamples the images. ``docs/studies.md`` says when to read which.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import isnan, nan, sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from thirtytwo.errors import UserError, did_you_mean
from thirtytwo.evaluation.estimate import Estimate
from thirtytwo.evaluation.metrics import Accuracy, ImageMetric, image_metric
from thirtytwo.evaluation.predictions import Predictions, of
from thirtytwo.rng import numpy_generator
from thirtytwo.words import plural

LEVEL = 0.05
"""The accepted probability of a false alarm, over all comparisons of a table together (Holm)."""
POWER = 0.8
"""The probability of detection at which a difference counts as detectable."""
RESAMPLES = 10_000
"""Bootstrap draws over images."""
FEW = 1000
"""Up to this many distinct differences, one multinomial draw over them is faster than drawing every image."""

Scored = Predictions | tuple[ArrayLike, ArrayLike]
"""A run's predictions for a split, or logits (N, K) and labels (N,) as `predictions.of` takes them."""


@dataclass(frozen=True, eq=False)
class Group:
    """Runs that differ in their seed only: the predictions of one split by seed, and the score that is compared."""

    name: str
    runs: Mapping[int, Predictions]
    metric: ImageMetric = Accuracy()  # noqa: RUF009  (is frozen)

    @cached_property
    def by_image(self) -> dict[int, np.ndarray]:
        """The score of each image, float64 (N,), by seed."""
        found = {}
        for seed, each in sorted(self.runs.items()):
            of_images = self.metric.by_image(each)
            if of_images is None:
                raise UserError(
                    f"'{self.name}': {self.metric.title} is not defined for {plural(len(each.classes), 'class')}: "
                    "choose another score"
                )
            found[seed] = of_images
        return found

    @property
    def by_seed(self) -> dict[int, float]:
        """The score by seed, the mean over the images."""
        return {seed: float(each.mean()) for seed, each in self.by_image.items()}

    def of_seeds(self, seeds: Sequence[int]) -> np.ndarray:
        """float64 (N,): the mean score of each image over the runs of these seeds."""
        mean: np.ndarray = np.mean([self.by_image[seed] for seed in seeds], axis=0)
        return mean


@dataclass(frozen=True)
class Difference:
    """How much higher the score of a group is than that of another.

    Attributes:
        against: the other group's name.
        value: mean difference of the score with its 95 % interval over seeds; nan ends with a single pair of runs.
        over_images: the same difference with its 95 % interval over images (paired percentile bootstrap).
        test: "paired t" (over the seeds that both have), "Welch's t" (they share none) or, for one pair of runs (single
            runs, or the only seed that both have), a test about these two runs only: "McNemar" where an image is right
            or wrong (the exact test on the images that only one of them gets right), else "paired t over images".
        p: its two-sided p-value; nan where the differences have no spread.
        p_holm: the same, corrected by Holm (1979) for all comparisons of the table.
        detectable: the true difference that the test would have found with 80 % probability, given the spread seen and
            the level of Holm's first step; nan with a single pair of runs.
        better: whether higher or lower values of the score are better.

    >>> import numpy as np, thirtytwo
    >>> labels = np.arange(100) % 2
    >>> right, wrong = 3 * np.eye(2)[labels], 3 * np.eye(2)[1 - labels]
    >>> rows = thirtytwo.compare({"good": (right, labels), "half": (np.r_[right[:50], wrong[50:]], labels)})
    >>> rows[1].difference.against, rows[1].difference.test, rows[1].difference.verdict
    ('good', 'McNemar', 'worse')
    """

    against: str
    value: Estimate
    over_images: Estimate
    test: str
    p: float
    p_holm: float
    detectable: float
    better: Literal["higher", "lower"]

    @property
    def shown(self) -> bool:
        """Whether the difference is beyond chance at `LEVEL`, corrected."""
        return self.p_holm < LEVEL

    @property
    def verdict(self) -> Literal["better", "worse", "not shown"]:
        """What the test says about it."""
        if not self.shown:
            return "not shown"
        return "better" if (self.value.value > 0) == (self.better == "higher") else "worse"


@dataclass(frozen=True)
class Compared:
    """One row of a comparison: a group, its score (by seed; mean and 95 % interval over seeds), and its difference.

    >>> import numpy as np, thirtytwo
    >>> labels = np.arange(100) % 2
    >>> right, wrong = 3 * np.eye(2)[labels], 3 * np.eye(2)[1 - labels]
    >>> rows = thirtytwo.compare({"good": (right, labels), "half": (np.r_[right[:50], wrong[50:]], labels)})
    >>> [(row.name, row.mean.value) for row in rows]
    [('good', 1.0), ('half', 0.5)]
    """

    name: str
    by_seed: dict[int, float]
    mean: Estimate
    difference: Difference | None


def groups_of(named: Mapping[str, Scored | Mapping[int, Scored]], score: str = "accuracy") -> list[Group]:
    """Groups to compare by ``score``, a registered metric: by name, the predictions of one run, or of a run per seed.

    Raises UserError for logits and labels that `predictions.of` refuses, and for a metric that is not a mean over
    images.
    """
    metric = image_metric(score)
    return [Group(name, _runs(name, said), metric) for name, said in named.items()]


def bases_of(groups: Sequence[Group], against: str) -> list[Group | None]:
    """For `compare`: the group called ``against`` as the base of every other one; it has none itself."""
    names = [group.name for group in groups]
    if against not in names:
        raise UserError(f"no group is called '{against}'{did_you_mean(against, names)}")
    base = groups[names.index(against)]
    return [None if group is base else base for group in groups]


def compare(groups: Sequence[Group], bases: Sequence[Group | None]) -> list[Compared]:
    """Compare each group with the one at its place in ``bases``, or with none where that is None.

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
            group.by_seed,
            mean_over_seeds(list(group.by_seed.values())),
            next(found) if base else None,
        )
        for base, group in zip(bases, groups, strict=True)
    ]


def mean_over_seeds(values: Sequence[float]) -> Estimate:
    """The mean with Student's 95 % interval; with one value the ends are nan: nothing is known about the spread."""
    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return Estimate(mean, nan, nan, n)
    from scipy import stats

    half = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1)) / sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm 1979, step-down Bonferroni). A nan is counted too, and stays nan."""
    p = np.array(p_values, dtype=float)
    order = np.argsort(p)  # nan last
    steps = np.minimum(1, p[order] * (len(p) - np.arange(len(p))))
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(steps)
    return [float(each) for each in corrected]


def p_text(p: float) -> str:
    """A p-value as tables show it: two digits, or as many as show on which side of `LEVEL` it is.

    Below 1e-10 only that, since doubles may underflow to 0.
    """
    if p < 1e-10:
        return "< 1e-10"
    shown = (f"{p:.{digits}g}" for digits in range(2, 18))
    return next(text for text in shown if (float(text) < LEVEL) == (p < LEVEL))


def detectable(spread: float, n: int, level: float = LEVEL, *, groups: Literal[1, 2] = 1) -> float:
    """The true difference that a two-sided t test of ``level`` finds with probability `POWER`.

    Args:
        spread: standard deviation of the paired differences (``groups=1``), or of each of two groups.
        n: number of paired differences, or size of each group.
        level: of the test.
        groups: 1 for a paired test, 2 for a test of two independent groups.
    """
    degrees = groups * (n - 1)
    if degrees < 1 or not spread > 0:
        return nan
    from scipy import optimize, stats

    # Given the estimated spread, which scatters as chi, the mean has to pass this many standard errors. (Averaged over
    # its quantiles: SciPy's noncentral t gives nan in the far tail that Holm's level asks for.)
    quantiles = (np.arange(2000) + 0.5) / 2000
    bars = stats.t.ppf(1 - level / 2, degrees) * np.sqrt(stats.chi2.ppf(quantiles, degrees) / degrees)

    def power(shift: float) -> float:
        return float((stats.norm.sf(bars - shift) + stats.norm.cdf(-bars - shift)).mean())

    return float(optimize.brentq(lambda shift: power(shift) - POWER, 0, bars[-1] + 10)) * spread * sqrt(groups / n)


def mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """Exact two-sided p-value (McNemar 1947) of two runs' right answers, bool (N,), on the same images.

    Under the null hypothesis, an image that only one run gets right is either run's with probability one half.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    if only_first + only_second == 0:
        return 1.0
    from scipy import stats

    return float(stats.binomtest(only_first, only_first + only_second).pvalue)


def paired_t(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sided p-value of the paired t test of ``second - first``, float (N,); nan where that has no spread."""
    if len(first) < 2 or not float((second - first).std(ddof=1)) > 1e-12:
        return nan
    from scipy import stats

    return float(stats.ttest_rel(second, first).pvalue)


def over_images(first: np.ndarray, second: np.ndarray) -> Estimate:
    """Mean of ``second - first``, float (N,) scores of the same images, with the paired percentile bootstrap.

    Images with the same difference are interchangeable, so with at most `FEW` distinct differences a resample is one
    multinomial draw over them.
    """
    n, differences = len(first), second - first
    values, counts = np.unique(differences, return_counts=True)
    draw = numpy_generator(0, "bootstrap/paired", n)
    if len(values) <= FEW:
        means = draw.multinomial(n, counts / n, size=RESAMPLES) @ values / n
    else:
        means = np.array([differences[draw.integers(n, size=n)].mean() for _ in range(RESAMPLES)])
    low, high = np.quantile(means, [0.025, 0.975]).tolist()
    return Estimate(float(differences.mean()), low, high, n)


def _difference(base: Group, group: Group, comparisons: int) -> Difference:
    a, b = base.by_seed, group.by_seed
    seeds, level = sorted(a.keys() & b.keys()), LEVEL / comparisons
    if len(seeds) > 1:
        images = over_images(base.of_seeds(seeds), group.of_seeds(seeds))
        first, second = (np.array([each[seed] for seed in seeds]) for each in (a, b))
        p, test = paired_t(first, second), "paired t"
        least = nan if isnan(p) else detectable(float((second - first).std(ddof=1)), len(seeds), level)
        value = mean_over_seeds((second - first).tolist())
    elif min(len(a), len(b)) > 1:
        images = over_images(base.of_seeds([*a]), group.of_seeds([*b]))
        p, value = _welch([*a.values()], [*b.values()], images.value)
        spread = sqrt((np.var([*a.values()], ddof=1) + np.var([*b.values()], ddof=1)) / 2)
        test, least = "Welch's t", detectable(spread, min(len(a), len(b)), level, groups=2)
    elif seeds or len(a) == len(b) == 1:
        first, second = (each.by_image[seeds[0] if seeds else next(iter(each.runs))] for each in (base, group))
        images = over_images(first, second)
        if group.metric.binary:
            p, test = mcnemar(first > 0, second > 0), "McNemar"
        else:
            p, test = paired_t(first, second), "paired t over images"
        value, least = Estimate(images.value, nan, nan, 1), nan
    else:
        raise UserError(
            f"'{base.name}' has seeds {_listed(a)}, '{group.name}' {_listed(b)}: to be compared, two groups need a "
            "seed in common, two or more seeds each, or a single run each"
        )
    return Difference(base.name, value, images, test, p, nan, least, group.metric.better)


def _welch(first: list[float], second: list[float], difference: float) -> tuple[float, Estimate]:
    """P-value and interval of a difference of means, by Welch's t test."""
    from scipy import stats

    result = stats.ttest_ind(second, first, equal_var=False)
    interval = result.confidence_interval(0.95)
    value = Estimate(difference, float(interval.low), float(interval.high), len(first) + len(second))
    return float(result.pvalue), value


def _runs(name: str, said: Scored | Mapping[int, Scored]) -> dict[int, Predictions]:
    """Predictions by seed; those of a single run get the seed 0."""
    by_seed = said if isinstance(said, Mapping) else {0: said}
    if not by_seed:
        raise UserError(f"'{name}': has no runs: leave it out, or add one")
    found = {}
    for seed, each in by_seed.items():
        if isinstance(each, tuple) and len(each) == 2:
            each = of(*each)
        if not isinstance(each, Predictions):
            raise UserError(
                f"'{name}': {type(each).__name__} cannot be compared: give predictions, (logits, labels), or a mapping "
                "of seeds to these"
            )
        found[seed] = each
    return found


def _listed(seeds: Mapping[int, float]) -> str:
    return ", ".join(map(str, seeds))


def _require_same_images(groups: Sequence[Group]) -> None:
    runs = [(group.name, each) for group in groups for each in group.runs.values()]
    name, first = runs[0]
    for other, each in runs[1:]:
        if each.classes != first.classes:
            lacking = sorted({*each.classes} ^ {*first.classes})
            which = f"'{lacking[0]}' is in one of them alone" if lacking else "they are in another order"
            raise UserError(f"'{name}' and '{other}' have other classes, {which}: compare runs of the same classes")
        if not (np.array_equal(each.ids, first.ids) and np.array_equal(each.labels, first.labels)):
            raise UserError(
                f"'{name}' and '{other}' were not scored on the same images{f' of {first.split}' * bool(first.split)}: "
                "compare runs of one data set with the same plan, val, test and split_seed"
            )
