"""Comparisons of groups of runs: against scipy, against each other, and against simulated truth."""

from math import isnan, nan

import numpy as np
import pytest
from scipy import stats

from thirtytwo.errors import UserError
from thirtytwo.evaluation.compare import (
    Compared,
    Group,
    compare,
    detectable,
    holm,
    mcnemar,
    mean_over_seeds,
    over_images,
    p_text,
)
from thirtytwo.evaluation.predictions import Predictions

N = 400


def predictions(accuracy: float, seed: int, shared: int = 0, n: int = N) -> Predictions:
    """Answers to ``n`` images of two classes, about ``accuracy`` of them right; the same images are hard for all."""
    ease = np.random.default_rng(shared).random(n)
    labels = np.random.default_rng(99).integers(0, 2, n)
    right = 0.8 * ease + 0.2 * np.random.default_rng(seed).random(n) < accuracy
    logits = np.eye(2)[np.where(right, labels, 1 - labels)]
    return Predictions(logits.astype(np.float32), labels, ("a", "b"), np.arange(n), "val")


def group(name: str, accuracy: float, seeds=(0, 1, 2)) -> Group:
    return Group(name, {seed: predictions(accuracy, 10 * seed + ord(name[0]) % 7) for seed in seeds})


def beside_first(groups: list[Group]) -> list[Compared]:
    return compare(groups, [None, *[groups[0]] * (len(groups) - 1)])


def test_paired_differences_are_scipys():
    base, other = group("a", 0.7), group("b", 0.78)
    rows = beside_first([base, other])
    a, b = list(base.accuracies.values()), list(other.accuracies.values())
    expected = stats.ttest_rel(b, a)
    found = rows[1].difference
    assert rows[0].difference is None and found.test == "paired t" and found.against == "a"
    assert found.p == pytest.approx(expected.pvalue) and found.p_holm == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    assert (found.value.low, found.value.high) == pytest.approx((low, high))
    assert rows[1].accuracy.value == pytest.approx(np.mean(b))
    low, high = stats.t.interval(0.95, len(b) - 1, np.mean(b), stats.sem(b))
    assert (rows[1].accuracy.low, rows[1].accuracy.high) == pytest.approx((low, high))


def test_groups_without_a_common_seed_are_compared_by_welch():
    base, other = group("a", 0.7, (0, 1, 2)), group("b", 0.78, (3, 4, 5, 6))
    found = beside_first([base, other])[1].difference
    expected = stats.ttest_ind(list(other.accuracies.values()), list(base.accuracies.values()), equal_var=False)
    assert found.test == "Welch's t" and found.p == pytest.approx(expected.pvalue)
    assert (found.value.low, found.value.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_two_single_runs_are_compared_image_by_image():
    first, second = predictions(0.7, 1), predictions(0.75, 2)
    found = beside_first([Group("a", {0: first}), Group("b", {5: second})])[1].difference
    table = [int((first.correct & ~second.correct).sum()), int((second.correct & ~first.correct).sum())]
    assert found.test == "McNemar" and found.p == pytest.approx(stats.binomtest(table[0], sum(table)).pvalue)
    assert isnan(found.value.low) and isnan(found.detectable)
    assert found.over_images.low < found.value.value < found.over_images.high
    assert mcnemar(first.correct, first.correct) == 1


def test_one_run_beside_several_is_refused_in_one_line():
    with pytest.raises(UserError, match=r"'a' has seeds 0, 'b' 1, 2: to be compared"):
        beside_first([group("a", 0.7, (0,)), group("b", 0.7, (1, 2))])


def test_one_common_seed_is_compared_image_by_image():
    base, other = group("a", 0.7, (0, 1, 2)), group("b", 0.7, (2,))
    found = beside_first([base, other])[1].difference
    alone = beside_first([group("a", 0.7, (2,)), other])[1].difference
    assert found.test == "McNemar" and (found.p, found.value.value) == (alone.p, alone.value.value)


def test_the_image_bootstrap_is_the_bootstrap():
    first, second = predictions(0.7, 1).correct.astype(float), predictions(0.78, 2).correct.astype(float)
    found = over_images(first, second)
    expected = stats.bootstrap((second - first,), np.mean, n_resamples=9999, method="percentile", rng=0)
    assert found.value == pytest.approx((second - first).mean())
    ends = expected.confidence_interval
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), abs=0.1 * (ends.high - ends.low))


def test_a_p_value_is_never_shown_as_zero():
    assert [p_text(p) for p in (0.0, 1e-12, 1.04e-8, 0.0314, 0.04982, 1.0)] == [
        "< 1e-10", "< 1e-10", "1e-08", "0.031", "0.0498", "1"]  # fmt: skip


def test_holm_corrects_step_by_step():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1, 1])
    corrected = holm([0.01, nan])
    assert corrected[0] == pytest.approx(0.02) and isnan(corrected[1])


def test_several_comparisons_are_corrected_together():
    groups = [group("base", 0.7), group("b", 0.74), group("c", 0.78)]
    rows = beside_first(groups)
    assert [row.difference.p_holm for row in rows[1:]] == pytest.approx(holm([row.difference.p for row in rows[1:]]))
    steps = compare(groups, [None, *groups[:-1]])
    assert [row.difference.against for row in steps[1:]] == ["base", "b"]
    assert rows[2].difference.value.value == pytest.approx(sum(row.difference.value.value for row in steps[1:]))


def test_what_is_called_detectable_is_found_in_four_of_five_cases():
    n, spread, level = 5, 0.004, 0.05
    shift = detectable(spread, n, level)
    draws = np.random.default_rng(0).normal(shift, spread, (20_000, n))
    assert (stats.ttest_1samp(draws, 0, axis=1).pvalue < level).mean() == pytest.approx(0.8, abs=0.01)
    two = detectable(spread, n, level, groups=2)
    a, b = np.random.default_rng(1).normal(0, spread, (2, 20_000, n))
    assert (stats.ttest_ind(a + two, b, axis=1).pvalue < level).mean() == pytest.approx(0.8, abs=0.01)
    assert detectable(spread, n, level / 9) > shift and isnan(detectable(spread, 1))


def test_without_any_spread_nothing_is_claimed():
    same = Group("a", {seed: predictions(0.7, 1) for seed in range(3)})
    found = beside_first([same, Group("b", same.runs)])[1].difference
    assert isnan(found.p) and not found.shown and found.value.value == 0


def test_one_seed_says_nothing_of_the_spread():
    one = mean_over_seeds([0.9])
    assert one.value == 0.9 and isnan(one.low) and isnan(one.high)


def test_other_images_are_refused():
    with pytest.raises(UserError, match="not scored on the same images of val"):
        beside_first([group("a", 0.7), Group("b", {0: predictions(0.7, 0, n=300)})])
