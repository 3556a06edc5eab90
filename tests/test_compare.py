"""Comparisons of groups of runs: against scipy, against each other, and against simulated truth."""

from dataclasses import replace
from math import isnan, nan

import numpy as np
import pytest
from scipy import stats

from thirtytwo.errors import UserError
from thirtytwo.evaluation.compare import (
    Compared,
    Group,
    bases_of,
    compare,
    detectable,
    groups_of,
    holm,
    mcnemar,
    mean_over_seeds,
    over_images,
    p_text,
)
from thirtytwo.evaluation.metrics import NLL, TopK
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
    a, b = list(base.by_seed.values()), list(other.by_seed.values())
    expected = stats.ttest_rel(b, a)
    found = rows[1].difference
    assert rows[0].difference is None and found.test == "paired t" and found.against == "a"
    assert found.p == pytest.approx(expected.pvalue) and found.p_holm == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    assert (found.value.low, found.value.high) == pytest.approx((low, high))
    assert rows[1].mean.value == pytest.approx(np.mean(b))
    low, high = stats.t.interval(0.95, len(b) - 1, np.mean(b), stats.sem(b))
    assert (rows[1].mean.low, rows[1].mean.high) == pytest.approx((low, high))


def test_groups_without_a_common_seed_are_compared_by_welch():
    base, other = group("a", 0.7, (0, 1, 2)), group("b", 0.78, (3, 4, 5, 6))
    found = beside_first([base, other])[1].difference
    expected = stats.ttest_ind(list(other.by_seed.values()), list(base.by_seed.values()), equal_var=False)
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
    by_p = sorted((row.difference.p, row.difference.p_holm) for row in rows[1:])
    (least, corrected), (largest, last) = by_p
    assert 0 < least < largest < 1, "else the order of the steps would not matter"
    # Holm (1979) with two hypotheses: the smaller p counts twice, the larger once, but no less than the smaller.
    assert corrected == pytest.approx(min(1, 2 * least)) and last == pytest.approx(max(min(1, 2 * least), largest))
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
    assert isnan(found.p) and isnan(found.detectable) and not found.shown and found.value.value == 0


def test_one_seed_says_nothing_of_the_spread():
    one = mean_over_seeds([0.9])
    assert one.value == 0.9 and isnan(one.low) and isnan(one.high)


def test_other_images_are_refused():
    with pytest.raises(UserError, match="not scored on the same images of val"):
        beside_first([group("a", 0.7), Group("b", {0: predictions(0.7, 0, n=300)})])


def unsure(accuracy: float, seed: int, scale: float) -> Predictions:
    """`predictions` with logits of different sizes, so that every image has a loss of its own."""
    found = predictions(accuracy, seed)
    size = scale * np.random.default_rng(1000 + seed).random((N, 1)).astype(np.float32)
    return replace(found, logits=found.logits * size)


def losses(said: Predictions) -> np.ndarray:
    """The cross-entropy of each image, by its definition."""
    return -np.log(said.probabilities[np.arange(N), said.labels])


def test_any_score_of_an_image_is_compared_over_seeds():
    runs = {
        name: {seed: unsure(0.8, seed + shift, 1 + shift) for seed in range(4)} for name, shift in (("a", 0), ("b", 1))
    }
    groups = groups_of(runs, "nll")
    found = compare(groups, bases_of(groups, "a"))[1]
    a, b = ([losses(each).mean() for each in runs[name].values()] for name in ("a", "b"))
    assert list(found.by_seed.values()) == pytest.approx(b) and found.mean.value == pytest.approx(np.mean(b))
    assert found.difference.p == pytest.approx(stats.ttest_rel(b, a).pvalue) and found.difference.test == "paired t"
    by_image = np.mean([losses(runs["b"][s]) - losses(runs["a"][s]) for s in range(4)], axis=0)
    expected = stats.bootstrap((by_image,), np.mean, n_resamples=9999, method="percentile", rng=0).confidence_interval
    ends, width = found.difference.over_images, expected.high - expected.low
    assert (ends.low, ends.high) == pytest.approx((expected.low, expected.high), abs=0.1 * width)


def test_of_a_loss_lower_is_better():
    runs = {"sure": {s: unsure(0.9, s, 4) for s in range(4)}, "vague": {s: unsure(0.9, s, 0.5) for s in range(4)}}
    groups = groups_of(runs, "nll")
    rows = compare(groups, [None, groups[0]]) + compare(groups, [groups[1], None])
    worse, better = rows[1].difference, rows[2].difference
    assert worse.value.value > 0 and worse.shown and worse.verdict == "worse"
    assert better.value.value < 0 and better.verdict == "better"
    by_accuracy = compare(groups_of({"low": {0: predictions(0.5, 0)}, "high": {0: predictions(0.9, 0)}}), [None, None])
    assert [row.difference for row in by_accuracy] == [None, None]
    low, high = groups_of({"low": {0: predictions(0.5, 0)}, "high": {0: predictions(0.9, 0)}})
    assert compare([low, high], [high, low])[0].difference.verdict == "worse"
    same = compare(groups_of({"x": runs["sure"], "y": runs["sure"]}, "nll"), [None, groups[0]])[1].difference
    assert same.verdict == "not shown" and isnan(same.p)


def test_two_single_runs_are_compared_by_a_loss_with_a_t_test_over_images():
    first, second = unsure(0.7, 1, 2), unsure(0.75, 2, 3)
    groups = groups_of({"a": first, "b": second}, "nll")
    found = compare(groups, bases_of(groups, "a"))[1].difference
    assert found.test == "paired t over images" and isnan(found.value.low) and isnan(found.detectable)
    assert found.p == pytest.approx(stats.ttest_rel(losses(second), losses(first)).pvalue)
    assert found.value.value == pytest.approx((losses(second) - losses(first)).mean())


def test_with_many_distinct_differences_the_bootstrap_over_images_is_the_same():
    difference = np.random.default_rng(0).gamma(1.0, size=3000)
    found = over_images(np.zeros(3000), difference)
    assert found.high - found.low == pytest.approx(2 * 1.96 * difference.std() / np.sqrt(3000), rel=0.05)
    assert found.low < difference.mean() < found.high


def test_groups_are_made_of_whatever_says_something_of_images():
    said = unsure(0.7, 1, 2)
    ones = groups_of({"p": said, "pair": (said.logits, said.labels), "seeds": {3: said, 5: (said.logits, said.labels)}})
    assert [list(group.by_seed) for group in ones] == [[0], [0], [3, 5]]
    assert len({*(value for group in ones for value in group.by_seed.values())}) == 1
    elsewhere = groups_of({"a": (said.logits, said.labels), "b": (said.logits, 1 - said.labels)})
    with pytest.raises(UserError, match="'a' and 'b' were not scored on the same images: compare"):
        compare(elsewhere, bases_of(elsewhere, "a"))


@pytest.mark.parametrize(
    ("named", "score", "message"),
    [
        ({"a": [1, 2]}, "accuracy", r"'a': list cannot be compared: give predictions, \(logits, labels\)"),
        ({"a": {}}, "accuracy", "'a': has no run"),
        ({"a": (np.zeros((2, 3)), [0, 3])}, "accuracy", "labels: go from 0 to 3"),
        ({"a": predictions(0.7, 1)}, "macro_f1", "is not a mean over images: compare runs by accuracy, top5, nll"),
    ],
)
def test_what_cannot_be_compared_is_one_line(named, score, message):
    with pytest.raises(UserError, match=message):
        groups_of(named, score)


def test_a_score_that_says_nothing_of_so_few_classes_is_refused():
    with pytest.raises(UserError, match="'a': top-5 accuracy is not defined for 2 classes"):
        compare([Group("a", {0: predictions(0.7, 1)}, TopK(5))], [None])
    assert Group("a", {0: predictions(0.7, 1)}, NLL()).by_image[0].shape == (N,)


def test_one_is_compared_with_a_group_that_is_there():
    groups = [group("plain", 0.7), group("flip", 0.7)]
    assert bases_of(groups, "flip") == [groups[1], None]
    with pytest.raises(UserError, match="no group is called 'flop': did you mean 'flip'"):
        bases_of(groups, "flop")
